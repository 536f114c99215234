"""The building blocks of every request's schema: texts, ids, times, zones, free JSON.

Each refuses values that could not be stored or shown: NUL, lone surrogates, naive times, numbers that other languages
cannot hold. A schema made of these needs no checks of its own.
"""

import functools
import math
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from notifier.channels import serving
from notifier.core.errors import Fault
from notifier.core.people import LARGEST_ATTRIBUTES, UNSTORABLE, parse_locale, parse_user_id
from notifier.core.pointers import pointer_to
from notifier.core.timestamps import parse_time
from notifier.ground.fast_json import encoded
from notifier.ground.zones import is_zone
from notifier.people.consent import check_version_of_others

# What pydantic puts into the path of a fault, and is no part of the body.
STEPS = (OF_A_NAME, BY_CHANNEL, WHOLE) = ("[key]", "[by channel]", "[whole]")
MAX_DEPTH = 32
MOST_FAULTS = 1_000  # are told of one body: a megabyte can hold a hundred thousand
_LARGEST = 2**64


def check_json(value: Any) -> list[Fault]:
    """The parts of a parsed JSON value that cannot be stored, by pointer; the first MOST_FAULTS. Without recursion,
    whatever the nesting.
    """
    faults = [] if isinstance(value, dict | list) else [*_scalar_fault((), value)]
    waiting: list[tuple[tuple[str | int, ...], Any]] = [((), value)] if isinstance(value, dict | list) else []
    while waiting and len(faults) < MOST_FAULTS:
        path, node = waiting.pop()
        if len(path) >= MAX_DEPTH:
            faults.append(Fault(pointer_to(*path), "nested_too_deeply", f"at most {MAX_DEPTH} levels"))
            continue
        inner: list[tuple[tuple[str | int, ...], Any]] = []
        for key, item in node.items() if isinstance(node, dict) else enumerate(node):
            if len(faults) >= MOST_FAULTS:
                break
            if isinstance(key, str) and UNSTORABLE.search(key):
                faults.append(
                    Fault(
                        pointer_to(*path, key),
                        "unstorable_text",
                        "a name must not contain NUL or half a surrogate pair",
                    )
                )
            if isinstance(item, dict | list):
                inner.append(((*path, key), item))
            elif item is not None:
                faults += _scalar_fault(path, item, key)
        waiting += reversed(inner)
    return faults[:MOST_FAULTS]


def _scalar_fault(path: tuple[str | int, ...], value: Any, *last: str | int) -> tuple[Fault, ...]:
    if isinstance(value, str):
        if not UNSTORABLE.search(value):
            return ()
        code, message = "unstorable_text", "text must not contain NUL or half a surrogate pair"
    elif isinstance(value, float):
        if math.isfinite(value):
            return ()
        code, message = "number_too_large", "the number is too large"
    elif not isinstance(value, int) or -_LARGEST < value < _LARGEST:
        return ()
    else:
        code, message = "number_too_large", "an integer has at most 64 bits; write larger ones as text"
    return (Fault(pointer_to(*path, *last), code, message),)


class Part(BaseModel):
    """A piece of a request: unknown fields and other types than those written down are refused."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Body(Part):
    """A whole request body. Values that cannot be stored are found before anything else is checked."""

    @model_validator(mode="before")
    @classmethod
    def _check_json(cls, value: Any) -> Any:
        faults = check_json(value)
        if faults:
            raise PydanticCustomError("validation_failed", "the body cannot be stored", {"faults": faults})
        return value


def wrong(code: str, reason: str) -> PydanticCustomError:
    """The error that a check raises: the fault's code, and the sentence for it."""
    return PydanticCustomError(code, "{reason}", {"reason": reason})


def _custom(code: str, check: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """`check`, whose ValueError becomes a fault with this code."""

    @functools.wraps(check)
    def validate(value: Any) -> Any:
        try:
            return check(value)
        except ValueError as error:
            raise wrong(code, str(error)) from None

    return validate


def _parse_zone(value: str) -> str:
    if not is_zone(value):
        raise ValueError(f"{value[:64]!r} is not a time zone in the IANA database")
    return value


def _check_attributes(value: dict[str, Any]) -> dict[str, Any]:
    size = len(encoded(value))
    if size > LARGEST_ATTRIBUTES:
        raise ValueError(f"these are {size:,} bytes of JSON: the maximum is {LARGEST_ATTRIBUTES:,}")
    return value


def _parse_email(value: str) -> str:
    return serving.normalise("email", value)


def _parse_phone(value: str) -> str:
    return serving.normalise("sms", value)


JsonObject = Annotated[dict[str, Any], Field(json_schema_extra={"additionalProperties": True})]
Attributes = Annotated[
    JsonObject, AfterValidator(_custom("too_large", _check_attributes)), Field(description="At most 64 KiB of JSON.")
]
Key = Annotated[str, Field(min_length=1, max_length=64)]
ShortText = Annotated[str, Field(max_length=200)]
UserId = Annotated[
    str,
    BeforeValidator(
        _custom("invalid_user_id", parse_user_id),
        json_schema_input_type=Annotated[str, Field(pattern=r"^[A-Za-z0-9._@+-]{1,128}$")] | int,
    ),
]
Time = Annotated[datetime, BeforeValidator(_custom("invalid_time", parse_time), json_schema_input_type=datetime)]
TextVersion = Annotated[
    str, Field(min_length=1, max_length=64), AfterValidator(_custom("version_taken", check_version_of_others))
]
Zone = Annotated[str, AfterValidator(_custom("unknown_time_zone", _parse_zone)), Field(examples=["Europe/Berlin"])]
Locale = Annotated[str, AfterValidator(_custom("invalid_locale", parse_locale)), Field(examples=["de", "pt-BR"])]
Email = Annotated[str, AfterValidator(_custom("invalid_email", _parse_email)), Field(examples=["alice@example.com"])]
Phone = Annotated[str, AfterValidator(_custom("invalid_phone", _parse_phone)), Field(examples=["+4915112345678"])]
