"""The rows of an uploaded list, as changes of people: what its columns may be, and what is wrong with a row.

Called by `people.uploads`. Sentences about bad rows quote nothing of them, since they are kept and shown.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from notifier.channels import serving
from notifier.channels.addresses import PRIMARY
from notifier.core.conditions import LARGEST_NUMBER, LONGEST_TEXT, OF_ATTRIBUTES
from notifier.core.csv_records import refused
from notifier.core.people import LONGEST_NAME, LONGEST_REGION, UNSTORABLE, parse_locale, parse_user_id
from notifier.core.submission import InlineRecipient
from notifier.ground.zones import is_zone

MOST_COLUMNS = 200


class BadRow(Exception):
    """A row that is left out."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def read_columns(head: Sequence[str]) -> list[str]:
    """The first record of the file. Raises Rejected."""
    if len(head) > MOST_COLUMNS:
        message = f"there are {len(head):,} columns: the maximum is {MOST_COLUMNS}"
        raise refused("too_many_columns", message, 1)
    columns = [name.strip() for name in head]
    for name in columns:
        attribute = name.removeprefix(OF_ATTRIBUTES)
        is_attribute = 0 < len(attribute) < len(name) and len(attribute) <= LONGEST_TEXT
        if name not in _FIELDS and not is_attribute:
            known = ", ".join((*_FIELDS, f"{OF_ATTRIBUTES}NAME"))
            raise refused("unknown_column", f"{name[:64]!r} is no column; these are, divided by commas: {known}", 1)
        if UNSTORABLE.search(name):
            raise refused("unstorable_text", "a column's name must not contain NUL", 1)
        if columns.count(name) > 1:
            raise refused("duplicate_column", f"there are two columns {name[:64]!r}", 1)
    if "id" not in columns:
        raise refused("missing_column", "there is no column 'id'", 1)
    return columns


def read_row(columns: Sequence[str], texts: Sequence[str]) -> InlineRecipient:
    """Whom a row is about, and what it says. An empty field says nothing. Raises BadRow."""
    if len(texts) != len(columns):
        raise BadRow("wrong_columns", f"this line has {len(texts):,} fields, and the first line {len(columns)}")
    changes: dict[str, Any] = {}
    attributes: dict[str, Any] = {}
    user_id = ""
    for name, text in zip(columns, texts, strict=True):
        text = text.strip()
        if UNSTORABLE.search(text):
            raise BadRow("unstorable_text", f"{name[:64]}: text must not contain NUL")
        if name == "id":
            user_id = _read("id", text)
        elif not text:
            continue
        elif name in _FIELDS:
            changes[name] = _read(name, text)
        else:
            attributes[name.removeprefix(OF_ATTRIBUTES)] = attribute(text)
    return InlineRecipient(user_id, {**changes, **({"attributes": attributes} if attributes else {})})


def attribute(text: str) -> Any:
    """CSV knows texts only: a number or truth as JSON writes it is one here, and a text in JSON's quotes stays a text.

    `18` → 18, `true` → True, `"18"` → "18", `018` → "018".
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if isinstance(value, str):
        return text if UNSTORABLE.search(value) else value
    if isinstance(value, int | float) and -LARGEST_NUMBER <= value <= LARGEST_NUMBER:
        return value
    return text


def _read(name: str, text: str) -> str:
    parse, code, message = _FIELDS[name]
    try:
        return parse(text)
    except ValueError:
        raise BadRow(code, message) from None


def _at_most(longest: int) -> Callable[[str], str]:
    def check(text: str) -> str:
        if len(text) > longest:
            raise ValueError
        return text

    return check


def _zone(text: str) -> str:
    if not is_zone(text):
        raise ValueError
    return text


def _address(field: str) -> Callable[[str], str]:
    return lambda text: serving.normalise(PRIMARY[field], text)


# column → how it is read, and what is said when it cannot be
_FIELDS: Mapping[str, tuple[Callable[[str], str], str, str]] = {
    "id": (parse_user_id, "invalid_user_id", "id: a user id is 1 to 128 of A-Z a-z 0-9 . _ @ + -"),
    "email": (_address("email"), "invalid_email", "email: this is no e-mail address"),
    "phone": (_address("phone"), "invalid_phone", "phone: this is no phone number, written as +4915112345678"),
    "locale": (parse_locale, "invalid_locale", "locale: a locale is written as de or pt-BR"),
    "time_zone": (_zone, "unknown_time_zone", "time_zone: this is no time zone of the IANA database"),
    "name": (_at_most(LONGEST_NAME), "too_long", f"name: the maximum length is {LONGEST_NAME}"),
    "home_region": (_at_most(LONGEST_REGION), "too_long", f"home_region: the maximum length is {LONGEST_REGION}"),
}
