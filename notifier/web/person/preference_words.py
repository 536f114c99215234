"""The preference page's sentences: why a switch is on or off, what will be held, what was changed when; in the language
of the request's reader.

Called by `preference_page`, its templates and the console's page of a person.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, time
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

from notifier.channels import CHANNELS
from notifier.core.digest import MORNING
from notifier.core.preferences import EVERY_CHANNEL, Preferences, resolve
from notifier.core.quiet_hours import EVERY_DAY
from notifier.core.timestamps import reckonable
from notifier.ground.languages import N_
from notifier.people.consent import Wording
from notifier.queries.preference_grid import Cell, Grid, Over, Row, Section
from notifier.web.language import gettext, language
from notifier.web.presentation import by_channel, by_channels, capital, category_word, channel_label

HELD = {
    "wait": N_("Arrives when they end"),
    "summary": N_("Arrives as one summary when they end"),
    "drop": N_("Is left out"),
}
FREQUENCIES = {
    "off": N_("One by one"),
    "hourly": N_("Hourly summary"),
    "daily": N_("Daily summary"),
    "weekly": N_("Weekly summary"),
}
_HELD = {"wait": N_("arrives afterwards"), "summary": N_("arrives as one summary"), "drop": N_("is left out")}
SOURCES = {
    "page": N_("on this page"),
    "link": N_("by the link in a message"),
    "embedded": N_("in the settings of the service that notifies you"),
    "one_click": N_("by one-click unsubscribe"),
    "provider": N_("by the unsubscribe link of the service that sent it"),
    "api": N_("by the service that notifies you"),
    "console": N_("by somebody who runs this service"),
}
_NOON, _DAWN = time(12), time(4)
_MOST_LINES = 3

# ---- switches -------------------------------------------------------------------------------------------------------

_REASONS = {
    ("mandatory", True): N_("Always on: it protects your account."),
    ("type_channel", True): N_("On: you chose it here."),
    ("type_channel", False): N_("Off: you chose it here."),
    ("type", True): N_("On: you chose it for this kind of message."),
    ("type", False): N_("Off: you chose it for this kind of message."),
    ("category_channel", True): N_("On: you chose it for %(category)s messages %(by_channel)s."),
    ("category_channel", False): N_("Off: you chose it for %(category)s messages %(by_channel)s."),
    ("category", True): N_("On: you chose it for all %(category)s messages."),
    ("category", False): N_("Off: you chose it for all %(category)s messages."),
    ("channel", True): N_("On: you chose it for everything %(by_channel)s."),
    ("channel", False): N_("Off: you chose it for everything %(by_channel)s."),
    ("default", True): N_("On by default: you have not chosen."),
    ("default", False): N_("Off by default: you have not chosen."),
}
_STATES = {"on": N_("all on"), "off": N_("all off"), "mixed": N_("some on, some off")}


def days() -> list[tuple[str, str]]:
    """Monday first: each in full, and as it is abbreviated."""
    return [(language().weekday(day), language().weekday(day, "abbreviated")) for day in range(7)]


def label(channel: str) -> str:
    return channel_label(channel)


def why(cell: Cell, category: str) -> str:
    """Which rule decided, in one sentence."""
    words = _REASONS[cell.because, cell.is_on]
    return gettext(words, category=category_word(category), by_channel=by_channel(cell.channel))


def state(over: Over) -> str:
    if over.is_locked:
        return gettext("always on")
    words = gettext(_STATES[over.state])
    return words if over.wish else gettext("%(state)s; choose each message below", state=words)


def singly(grid: Grid) -> str:
    """Which channels no switch over several switches on; empty for none."""
    if not grid.chosen_singly:
        return ""
    names = language().listed(label(name) for name in grid.chosen_singly)
    return gettext("%(channels)s: choose each message below", channels=names)


def switched(grid: Grid, before: Preferences) -> str:
    """What has changed in the grid since these choices, empty for nothing: "Switched off: all marketing messages by
    e-mail and by mobile push".
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
                gettext("all %(category)s messages", category=category_word(section.category))
                if len(rows) == len(open_rows) > 1
                else language().listed(row.title for row in rows)
            )
            turned[is_on].append(f"{whose} {by_channels(names)}")
    said = [(_TURNED[is_on], parts) for is_on, parts in turned.items() if parts]
    return ". ".join(gettext(words, what="; ".join(parts)) for words, parts in said)


_TURNED = {True: N_("Switched on: %(what)s"), False: N_("Switched off: %(what)s")}


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
    ("opens",): N_("whether you open it"),
    ("clicks",): N_("which of its links you follow"),
    ("opens", "clicks"): N_("whether you open it, and which of its links you follow"),
}


def tracked(row: Row) -> str:
    """What the mails of a type tell their sender."""
    return gettext(_TRACKED[row.tracks])


# ---- quiet hours, mute ----------------------------------------------------------------------------------------------


def quiet(document: Mapping[str, Any], zone: str) -> str:
    """What quiet hours hold, and until when, in words."""
    hours = document["quiet_hours"]
    if not hours:
        return gettext("Off: messages reach you at any hour.")
    end = time.fromisoformat(hours["end"])
    held = _HELD_UNTIL_MORNING if document["held"] == "wait" and _DAWN <= end < _NOON else _QUIET[document["held"]]
    start, end_words = clock(hours["start"]), clock(hours["end"])
    when = gettext(
        "From %(start)s to %(end)s (%(zone)s), %(nights)s",
        start=start,
        end=end_words,
        zone=zone,
        nights=_nights(hours["days"], hours["start"] > hours["end"]),
    )
    then = gettext(held, end=end_words)
    return gettext("%(when)s, %(then)s. Your inbox still gets everything.", when=when, then=then)


_QUIET = {
    "wait": N_("we hold everything but security alerts, urgent messages and messages about your orders until %(end)s"),
    "summary": N_(
        "we hold everything but security alerts, urgent messages and messages about your orders, and send it as one "
        "summary when they end"
    ),
    "drop": N_("we leave out everything but security alerts, urgent messages and messages about your orders"),
}
_HELD_UNTIL_MORNING = N_(
    "we hold everything but security alerts, urgent messages and messages about your orders until morning"
)


def _nights(numbers: Iterable[int], is_over_midnight: bool) -> str:
    chosen = sorted(numbers)
    if len(chosen) == len(EVERY_DAY):
        return gettext("every night") if is_over_midnight else gettext("every day")
    words = N_("nights that start on %(days)s") if is_over_midnight else N_("days that start on %(days)s")
    return gettext(words, days=language().listed(language().weekday(number - 1) for number in chosen))


def clock(text: str) -> str:
    """`22:00` as the reader's language writes a time of day."""
    return language().time(time.fromisoformat(text))


def moment(at: datetime | str, zone: ZoneInfo) -> str:
    """A time in the person's zone."""
    return language().moment(reckonable(datetime.fromisoformat(at) if isinstance(at, str) else at), zone)


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
                gettext(SOURCES.get(source, source)),
                tuple(lines[:_MOST_LINES]),
                max(0, len(lines) - _MOST_LINES),
            )
        )
    return found


def changed(line: Mapping[str, Any], titles: Mapping[str, str], zone: ZoneInfo) -> str:
    """One line of the consent history: the choice, its old value and its new one."""
    field = line["choice"].partition(".")[0]
    before, after = (_value(field, line[end], zone) or _usual(line["choice"]) for end in ("from", "to"))
    return f"{name(line['choice'], titles)}: {before} → {after}"


def name(choice: str, titles: Mapping[str, str]) -> str:
    """`types.like.email` → Like by e-mail."""
    field, key, leaf = (*choice.split(".", 2), "", "")[:3]
    by = "" if leaf in ("", EVERY_CHANNEL) else by_channel(leaf)
    match field:
        case "channels":
            return gettext("Everything %(by_channel)s", by_channel=by_channel(key))
        case "categories" if by:
            return capital(gettext("%(category)s messages %(by_channel)s", category=category_word(key), by_channel=by))
        case "categories":
            return capital(gettext("all %(category)s messages", category=category_word(key)))
        case "types":
            return f"{titles.get(key, key)} {by}".rstrip()
        case "digest":
            return capital(gettext("%(category)s messages", category=category_word(key)))
        case "addresses" if leaf:
            return gettext("Main address: %(channel)s", channel=label(key))
        case "addresses":
            return gettext("Addresses: %(channel)s", channel=label(key))
        case "caps":
            return gettext(_CAPS.get(leaf, leaf), category=category_word(key))
        case _:
            return gettext(_NAMES.get(field, choice))


def wording(titles: Mapping[str, str]) -> Wording:
    """The words beside each choice, for the ledger."""
    return lambda choice: (language().name, name(choice, titles))


_CAPS = {
    "hour": N_("Most %(category)s messages in one hour"),
    "day": N_("Most %(category)s messages in one day"),
    "channels": N_("Most %(category)s messages by channel"),
}
_NAMES = {
    "quiet_hours": N_("Quiet hours"),
    "mute_until": N_("Muted until"),
    "held": N_("What comes in quiet hours"),
    "digest_at": N_("Summaries arrive at"),
    "do_not_track": N_("Do not track what I open"),
    "time_zone": N_("Time zone"),
}
_NOTHING = {"quiet_hours": N_("off"), "mute_until": N_("not muted"), "addresses": N_("none"), "do_not_track": N_("off")}


def _usual(choice: str) -> str:
    """What holds where nothing was chosen. Of a switch: what its channel is by default."""
    field, key, leaf = (*choice.split(".", 2), "", "")[:3]
    match field:
        case "channels" | "categories" | "types":
            channel = CHANNELS.get(key if field == "channels" else leaf)
            return gettext("on") if channel is None or channel.default_on else gettext("off")
        case "digest":
            words = FREQUENCIES["off"]
        case "held":
            words = _HELD["wait"]
        case "digest_at":
            return language().time(MORNING)
        case "caps":
            words = N_("the usual limit")
        case _:
            words = _NOTHING.get(field, N_("default"))
    return gettext(words)


def _value(field: str, value: Any, zone: ZoneInfo) -> str:
    """Empty for none."""
    if value is None:
        return ""
    match field:
        case "channels" | "categories" | "types" | "do_not_track":
            return gettext("on") if value else gettext("off")
        case "digest":
            return gettext(FREQUENCIES.get(value, str(value)))
        case "held":
            return gettext(_HELD.get(value, str(value)))
        case "quiet_hours":
            hours = gettext("%(start)s to %(end)s", start=clock(value["start"]), end=clock(value["end"]))
            chosen = ", ".join(language().weekday(day - 1, "abbreviated") for day in value["days"])
            return hours if len(value["days"]) == len(EVERY_DAY) else f"{hours} ({chosen})"
        case "mute_until":
            return moment(value, zone)
        case "digest_at":
            return clock(value)
        case _:
            return str(value)
