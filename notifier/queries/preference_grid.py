"""The preference page's grid: categories as sections, event types as rows, channels as columns."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from notifier.channels import CHANNELS
from notifier.core.choices import next_state
from notifier.core.preferences import CATEGORIES, EVERY_CHANNEL, Preferences, from_document
from notifier.ground.extensions import db
from notifier.ground.languages import ENGLISH, Language
from notifier.models import Account, Address, EventType, Preference
from notifier.queries.preferences import answer_for

ALERTED = "admin"  # the role whose people get what goes to the admins

State = Literal["on", "off", "mixed"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One switch. A locked one is mandatory; `because` is the rule of core.preferences that spoke. `is_usual`: the type
    uses the channel by itself, or the person has chosen it for this type; the others are shown on request.
    """

    channel: str
    is_on: bool
    is_locked: bool
    because: str
    is_usual: bool


@dataclass(frozen=True, slots=True)
class Over:
    """A switch over several: the state together of the usual ones, or of all if none of those can be changed. Locked if
    none can. `wish`: what pressing it does to all of them (None: it cannot be pressed). `is_usual`: one below it is.
    """

    channel: str | None
    state: State
    is_locked: bool
    wish: Literal["on", "off"] | None
    is_usual: bool

    def takes(self, is_on: bool) -> bool:
        """Whether it may be set so: what is on in part is not switched on in full."""
        return self.wish == "on" if is_on else not self.is_locked


@dataclass(frozen=True, slots=True)
class Row:
    """One type. `description`: empty where there is none. `tracks`: "opens" and "clicks", as far as its mails ask for
    them.
    """

    type: str
    title: str
    description: str
    cells: tuple[Cell, ...]
    tracks: tuple[str, ...] = ()

    @property
    def is_chosen(self) -> bool:
        """Whether something was chosen for the type itself."""
        return any(cell.because in ("type_channel", "type") for cell in self.cells)


@dataclass(frozen=True, slots=True)
class Section:
    """`whole` stands over all its cells, `channels` over those of a column. `has_more`: some of them are not usual."""

    category: str
    rows: tuple[Row, ...]
    whole: Over
    channels: tuple[Over, ...]

    @property
    def has_more(self) -> bool:
        return not all(cell.is_usual for row in self.rows for cell in row.cells)

    @property
    def is_chosen(self) -> bool:
        """Whether something was chosen for the category itself."""
        return any(cell.because in ("category_channel", "category") for row in self.rows for cell in row.cells)


@dataclass(frozen=True, slots=True)
class Grid:
    """`columns` are the switches over whole channels, in the order of the cells."""

    columns: tuple[Over, ...]
    sections: tuple[Section, ...]

    @property
    def channels(self) -> tuple[str, ...]:
        return tuple(str(column.channel) for column in self.columns)

    @property
    def may_opt_in(self) -> tuple[str, ...]:
        """The channels that a switch over several may switch on."""
        return tuple(name for name in self.channels if CHANNELS[name].default_on)

    @property
    def chosen_singly(self) -> tuple[str, ...]:
        """The channels that are switched on one switch at a time."""
        return tuple(name for name in self.channels if not CHANNELS[name].default_on)

    @property
    def titles(self) -> dict[str, str]:
        return {row.type: row.title for section in self.sections for row in section.rows}

    def tracked(self) -> list[Row]:
        return [row for section in self.sections for row in section.rows if row.tracks]

    def over(self, category: str | None, channel: str | None) -> Over | None:
        """The switch over a category, over a channel, or over both; None where there is none."""
        if category is None:
            return next((column for column in self.columns if column.channel == channel), None)
        section = next((section for section in self.sections if section.category == category), None)
        overs = (section.whole, *section.channels) if section else ()
        return next((over for over in overs if over.channel == channel), None)

    def cells(self) -> Iterator[tuple[Row, Cell]]:
        return ((row, cell) for section in self.sections for row in section.rows for cell in row.cells)


def grid_of(user_id: str, choices: Mapping[str, Any], *, language: Language = ENGLISH) -> Grid:
    """`choices` are those of queries.preferences. Rows: types that may reach the person, so those for admins for them
    only. Columns: the channels that these types use by themselves, that the person has an address on, or has made a
    choice about.
    """
    is_alerted = sa.exists().where(Account.user_id == user_id, Account.role == ALERTED, Account.disabled_at.is_(None))
    wanted = (EventType.is_internal.is_(False), EventType.to_admins.is_(False) | is_alerted)
    types = db.session.scalars(sa.select(EventType).where(*wanted).order_by(EventType.key)).all()
    channels, preferences = _channels(user_id, choices, types), from_document(choices)
    rows: dict[str, list[Row]] = {}
    for type in types:
        title = language.title(type.titles) or type.key
        cells = tuple(_cell(preferences, type, name) for name in channels)
        description = language.title(type.descriptions) or ""
        rows.setdefault(type.category, []).append(Row(type.key, title, description, cells, _tracks(type)))
    sections = tuple(_section(category, tuple(rows[category]), channels) for category in CATEGORIES if category in rows)
    everything = [cell for section in sections for row in section.rows for cell in row.cells]
    return Grid(tuple(_over(everything, name) for name in channels), sections)


def _tracks(type: EventType) -> tuple[str, ...]:
    asked = {"opens": type.tracks_opens, "clicks": type.tracks_clicks}
    return () if type.is_mandatory else tuple(name for name, is_asked in asked.items() if is_asked)


def types_allowed_by_name(user_id: str, category: str, channel: str) -> list[str]:
    """The types of the category that the person has switched on one by one,
    which outweighs a choice for the category.
    """
    document = db.session.scalar(sa.select(Preference.document).where(Preference.user_id == user_id)) or {}
    chosen = {
        key for key, switches in document.get("types", {}).items() if switches.get(channel, switches.get(EVERY_CHANNEL))
    }
    return (
        list(
            db.session.scalars(
                sa.select(EventType.key).where(EventType.key.in_(chosen), EventType.category == category)
            )
        )
        if chosen
        else []
    )


def _channels(user_id: str, choices: Mapping[str, Any], types: Iterable[EventType]) -> tuple[str, ...]:
    used = {channel for type in types for channel in type.channels}
    used |= set(
        db.session.scalars(
            sa.select(Address.channel).where(Address.user_id == user_id, Address.disabled_at.is_(None)).distinct()
        )
    )
    used |= choices["channels"].keys()
    for switches in (*choices["categories"].values(), *choices["types"].values()):
        used |= switches.keys()
    return tuple(name for name in CHANNELS if name in used)


def _cell(preferences: Preferences, type: EventType, channel: str) -> Cell:
    answer = answer_for(preferences, type, channel)
    is_usual = channel in type.channels or answer.because == "type_channel"
    return Cell(channel, answer.enabled, answer.because == "mandatory", answer.because, is_usual)


def _section(category: str, rows: tuple[Row, ...], channels: tuple[str, ...]) -> Section:
    cells = [cell for row in rows for cell in row.cells]
    return Section(category, rows, _over(cells, None), tuple(_over(cells, name) for name in channels))


def _over(cells: Iterable[Cell], channel: str | None) -> Over:
    """The switch over those of the cells that are on this channel (None: on any). The locked ones have no say."""
    found = [cell for cell in cells if channel in (None, cell.channel)]
    below: dict[str, set[bool]] = {}
    is_open = [cell for cell in found if not cell.is_locked]
    for cell in [cell for cell in is_open if cell.is_usual] or is_open:
        below.setdefault(cell.channel, set()).add(cell.is_on)
    state = set().union(*below.values())
    wish = next_state(below, may_opt_in=[name for name in below if CHANNELS[name].default_on])
    return Over(
        channel,
        "mixed" if len(state) > 1 else "off" if state == {False} else "on",
        not below,
        None if wish is None else "on" if wish else "off",
        any(cell.is_usual for cell in found),
    )
