"""Numbers, money, dates and words in the format of a reader's language and zone.

Pure functions over Babel; `words.language` offers them to templates as filters. Data comes from producers: a value that
does not suit its filter (a date that says "tomorrow") is shown unchanged.
"""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_datetime, format_time
from babel.numbers import format_currency, format_decimal

from notifier.core.record import record
from notifier.words.phrases import PHRASES

# A day without its year, which is how one speaks of the coming weeks. Other languages get the full date.
_DAY_PATTERNS = {"en": "EEEE, MMMM d", "de": "EEEE, d. MMMM", "fr": "EEEE d MMMM", "es": "EEEE, d 'de' MMMM"}
_ISO = re.compile(r"\d{4}-\d\d-\d\d($|[T ])")
_LENGTHS = ("short", "medium", "long", "full")
_LONGEST_NUMBER = 40


@record
class Reader:
    """For whom a value is put into words."""

    locale: Locale
    zone: ZoneInfo


def money(reader: Reader, amount: Any, currency: Any = None) -> str:
    """`49.9, "EUR"` → €49.90. Without a currency: a plain amount with two decimals."""
    value = _number(amount)
    if value is None:
        return _text(amount)
    if not isinstance(currency, str) or len(currency) != 3 or not (currency.isascii() and currency.isalpha()):
        return format_decimal(value, format="#,##0.00", locale=reader.locale)
    return format_currency(value, currency.upper(), locale=reader.locale)


def number(reader: Reader, value: Any) -> str:
    parsed = _number(value)
    return _text(value) if parsed is None else format_decimal(parsed, locale=reader.locale)


def show_date(reader: Reader, value: Any, length: str = "medium") -> str:
    """`length` is short, medium, long, full, or day (weekday, day and month)."""
    moment = _moment(reader, value)
    if moment is None:
        return _text(value)
    day = moment.date() if isinstance(moment, datetime) else moment
    if length == "day":
        return format_date(day, _DAY_PATTERNS.get(reader.locale.language, "full"), locale=reader.locale)
    return format_date(day, _known(length), locale=reader.locale)


def show_datetime(reader: Reader, value: Any, length: str = "medium") -> str:
    moment = _moment(reader, value)
    if not isinstance(moment, datetime):
        return show_date(reader, value, length)
    return format_datetime(moment, _known(length), tzinfo=moment.tzinfo, locale=reader.locale)


def show_time(reader: Reader, value: Any, length: str = "short") -> str:
    moment = _moment(reader, value)
    if not isinstance(moment, datetime):
        return _text(value)
    return format_time(moment, _known(length), tzinfo=moment.tzinfo, locale=reader.locale)


def plural(reader: Reader, count: Any, forms: Mapping[str, Any]) -> str:
    """The form for `count` by the language's own rule (zero one two few many other); `{n}` in it is the number."""
    value = _number(count)
    if value is None:
        raise ValueError("plural needs a number")
    form = forms.get(reader.locale.plural_form(value), forms.get("other"))
    if form is None:
        raise ValueError("plural needs at least the form other=…")
    return str(form).replace("{n}", number(reader, count))


def phrase(reader: Reader, value: Any) -> str:
    """A code as producers send it (`password_changed`) in words; anything that is not a known code as it is."""
    text = _text(value)
    known = PHRASES.get(text.lower().replace("-", "_").replace(" ", "_"))
    if known is not None:
        return known.get(reader.locale.language, known["en"])
    if "_" in text and " " not in text:
        text = text.replace("_", " ").lower()
        return text[:1].upper() + text[1:]
    return text


def _text(value: Any) -> str:
    return str(value) if isinstance(value, (str, int, float)) else ""


def _known(length: str) -> Any:
    if length not in _LENGTHS:
        raise ValueError(f"there is no length {length!r}; it is one of {', '.join(_LENGTHS)}")
    return length


def _number(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        parsed = Decimal(str(value).strip())
    except (InvalidOperation, ValueError):
        return None
    # 1E+999999 is a valid Decimal and a gigabyte of digits.
    return parsed if parsed.is_finite() and abs(parsed.adjusted()) < _LONGEST_NUMBER else None


def _moment(reader: Reader, value: Any) -> datetime | date | None:
    """An ISO date, or an ISO time or Unix seconds in the reader's zone; a time without a zone is UTC."""
    moment = _read(value)
    if not isinstance(moment, datetime):
        return moment
    try:
        return moment.astimezone(reader.zone)
    except OverflowError:  # 9999-12-31T23:59:59Z, for "never": the zone leads out of the calendar
        return moment


def _read(value: Any) -> datetime | date | None:
    try:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
        if not isinstance(value, str):
            return None
        text = value.strip()
        if not _ISO.match(text):
            return None
        if len(text) == 10:
            return date.fromisoformat(text)
        parsed = datetime.fromisoformat(text)
        return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        return None
