"""The preference page's sentences: why a switch is on or off, what will be held, what was changed when.

Pure functions. Called by `preference_page`, its templates and the console's page of a person.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, time
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

from notifier.channels import CHANNELS
from notifier.core.preferences import EVERY_CHANNEL, Preferences, resolve
from notifier.queries.preference_grid import Cell, Grid, Over, Row, Section

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
HELD = {
    "wait": "Arrives when they end",
    "summary": "Arrives as one summary when they end",
    "drop": "Is left out",
}
FREQUENCIES = {"off": "One by one", "hourly": "Hourly summary", "daily": "Daily summary", "weekly": "Weekly summary"}
_HELD = {"wait": "arrives afterwards", "summary": "arrives as one summary", "drop": "is left out"}
SOURCES = {
    "page": "on this page",
    "link": "by the link in a message",
    "one_click": "by one-click unsubscribe",
    "provider": "by the unsubscribe link of the service that sent it",
    "api": "by the service that notifies you",
}
PASSING = "everything but security alerts, urgent messages and messages about your orders"
_NOON, _DAWN = time(12), time(4)
_MOST_LINES = 3

# ---- switches -------------------------------------------------------------------------------------------------------

_REASONS = {
    "mandatory": "Always on: it protects your account",
    "type_channel": "{state}: you chose it here",
    "type": "{state}: you chose it for this kind of message",
    "category_channel": "{state}: you chose it for {category} messages by {channel}",
    "category": "{state}: you chose it for all {category} messages",
    "channel": "{state}: you chose it for everything by {channel}",
    "default": "{state} by default: you have not chosen",
}
_MARKS = {
    "type_channel": "chosen",
    "type": "chosen",
    "category_channel": "by section",
    "category": "by section",
    "channel": "by channel",
}
_STATES = {"on": "all on", "off": "all off", "mixed": "some on, some off"}


def label(channel: str) -> str:
    return CHANNELS[channel].label


def why(cell: Cell, category: str) -> str:
    """Which rule decided, in one sentence."""
    return (
        _REASONS[cell.because].format(
            state="On" if cell.is_on else "Off", category=category, channel=label(cell.channel)
        )
        + "."
    )


def mark(cell: Cell) -> str:
    """The same in a word; empty for the default."""
    return _MARKS.get(cell.because, "")


def state(over: Over) -> str:
    if over.is_locked:
        return "always on"
    return _STATES[over.state] if over.wish else f"{_STATES[over.state]}; choose each message below"


def singly(grid: Grid) -> str:
    """Which channels no switch over several switches on; empty for none."""
    if not grid.chosen_singly:
        return ""
    return f"{_listed([label(name) for name in grid.chosen_singly])}: choose each message below"


def switched(grid: Grid, before: Preferences) -> str:
    """What has changed in the grid since these choices, empty for nothing: "Switched off: all marketing messages by
    E-mail and Mobile push".
    """
    turned: dict[bool, list[str]] = {True: [], False: []}
    for section in grid.sections:
        by: dict[tuple[bool, tuple[str, ...]], list[Row]] = {}
        for row in section.rows:
            changed = [cell for cell in row.cells if _has_turned(cell, row, section, before)]
            for is_on in turned:
                if names := tuple(cell.channel for cell in changed if cell.is_on is is_on):
                    by.setdefault((is_on, names), []).append(row)
        for (is_on, names), rows in by.items():
            open_rows = [row for row in section.rows if any(_is_open(cell, names) for cell in row.cells)]
            whose = (
                f"all {section.category} messages"
                if len(rows) == len(open_rows) > 1
                else _listed([row.title for row in rows])
            )
            turned[is_on].append(f"{whose} by {_listed([label(name) for name in names])}")
    said = [(f"Switched {'on' if is_on else 'off'}", parts) for is_on, parts in turned.items() if parts]
    return ". ".join(f"{verb}: {'; '.join(parts)}" for verb, parts in said)


def _has_turned(cell: Cell, row: Row, section: Section, before: Preferences) -> bool:
    was = resolve(
        before,
        type=row.type,
        category=section.category,
        channel=cell.channel,
        default_on=CHANNELS[cell.channel].default_on,
        mandatory=cell.is_locked,
    )
    return was.enabled != cell.is_on


def _is_open(cell: Cell, channels: Collection[str]) -> bool:
    return not cell.is_locked and cell.channel in channels


_TRACKED = {
    ("opens",): "whether you open it",
    ("clicks",): "which of its links you follow",
    ("opens", "clicks"): "whether you open it, and which of its links you follow",
}


def tracked(row: Row) -> str:
    """What the mails of a type tell their sender."""
    return _TRACKED[row.tracks]


# ---- quiet hours, mute ----------------------------------------------------------------------------------------------


def quiet(document: Mapping[str, Any], zone: str) -> str:
    """What quiet hours hold, and until when, in words."""
    hours = document["quiet_hours"]
    if not hours:
        return "Off: messages reach you at any hour."
    end = time.fromisoformat(hours["end"])
    until = "morning" if _DAWN <= end < _NOON else hours["end"]
    then = {
        "wait": f"we hold {PASSING} until {until}.",
        "summary": f"we hold {PASSING}, and send it as one summary when they end.",
        "drop": f"we leave out {PASSING}.",
    }[document["held"]]
    nights = _nights(hours["days"], hours["start"] > hours["end"])
    return f"From {hours['start']} to {hours['end']} ({zone}), {nights}, {then} Your inbox still gets everything."


def _nights(days: Iterable[int], is_over_midnight: bool) -> str:
    numbers = sorted(days)
    unit = "night" if is_over_midnight else "day"
    if len(numbers) == len(DAYS):
        return f"every {unit}"
    return f"{unit}s that start on {_listed([DAYS[number - 1] for number in numbers])}"


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def moment(at: datetime | str, zone: ZoneInfo) -> str:
    """A time in the person's zone."""
    at = datetime.fromisoformat(at) if isinstance(at, str) else at
    return f"{at.astimezone(zone):%a %d %b %Y, %H:%M}"


# ---- history --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Entry:
    """Changes made at the same time. `lines` are the first of them, `more` counts the rest."""

    at: str
    when: str
    source: str
    lines: tuple[str, ...]
    more: int


def entries(history: Iterable[Mapping[str, Any]], titles: Mapping[str, str], zone: ZoneInfo) -> list[Entry]:
    """`history` is that of queries.preferences."""
    found = []
    for (at, source), group in groupby(history, key=lambda line: (line["at"], line["source"])):
        lines = sorted(changed(line, titles, zone) for line in group)
        found.append(
            Entry(
                at,
                moment(at, zone),
                SOURCES.get(source, source),
                tuple(lines[:_MOST_LINES]),
                max(0, len(lines) - _MOST_LINES),
            )
        )
    return found


def changed(line: Mapping[str, Any], titles: Mapping[str, str], zone: ZoneInfo) -> str:
    """One line of the consent history: the choice, its old value and its new one."""
    field = line["choice"].partition(".")[0]
    return f"{name(line['choice'], titles)}: {_value(field, line['from'], zone)} → {_value(field, line['to'], zone)}"


def name(choice: str, titles: Mapping[str, str]) -> str:
    """`types.like.email` → Like by E-mail."""
    field, key, leaf = (*choice.split(".", 2), "", "")[:3]
    by = "" if leaf in ("", EVERY_CHANNEL) else f" by {label(leaf) if leaf in CHANNELS else leaf}"
    match field:
        case "channels":
            return f"Everything by {label(key) if key in CHANNELS else key}"
        case "categories":
            return (
                f"{'All ' if not by else ''}{key} messages{by}".capitalize()
                if not by
                else f"{key.capitalize()} messages{by}"
            )
        case "types":
            return f"{titles.get(key, key)}{by}"
        case "digest":
            return f"{key.capitalize()} messages"
        case "addresses":
            return f"Main address for {label(key)}" if leaf else f"Addresses for {label(key)}"
        case "caps":
            return f"Most {key} messages {'by channel' if leaf == 'channels' else f'in one {leaf}'}"
        case _:
            return _NAMES.get(field, choice)


_NAMES = {
    "quiet_hours": "Quiet hours",
    "mute_until": "Muted until",
    "held": "What comes in quiet hours",
    "digest_at": "Summaries arrive at",
    "do_not_track": "Do not track what I open",
    "time_zone": "Time zone",
}
_NOTHING = {"quiet_hours": "off", "mute_until": "not muted", "addresses": "none", "do_not_track": "off"}


def _value(field: str, value: Any, zone: ZoneInfo) -> str:
    if value is None:
        return _NOTHING.get(field, "default")
    match field:
        case "channels" | "categories" | "types" | "do_not_track":
            return "on" if value else "off"
        case "digest":
            return FREQUENCIES.get(value, str(value)).lower()
        case "held":
            return _HELD.get(value, str(value))
        case "quiet_hours":
            return f"{value['start']} to {value['end']}" + (
                "" if len(value["days"]) == len(DAYS) else f" ({', '.join(DAYS[day - 1][:3] for day in value['days'])})"
            )
        case "mute_until":
            return moment(value, zone)
        case _:
            return str(value)
