"""The versions of a template: a draft is created, written and published; publishing an older version rolls back.

Called by the console and the API. A published version never changes, since notifications refer to it; it is archived
when another is published. Each function that writes is one transaction, which locks the rows of the key and writes a
line of the audit trail. `words.render` renders, `queries.templates` reads.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, NoReturn
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, scoped_session

from notifier.catalogue import template_check, template_lint
from notifier.catalogue.samples import sample_of
from notifier.channels import CHANNELS
from notifier.core import revisions
from notifier.core.errors import Fault, Rejected
from notifier.core.experiments import STOPPED
from notifier.core.revisions import refuse_stale
from notifier.core.wording import ANY_CHANNEL, ARCHIVED, DRAFT, FIELDS, PUBLISHED, Words
from notifier.ground import kept, process_pool
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ledgers import audit
from notifier.models import EventType, Experiment, Template, TemplateContent
from notifier.words.fallback import LONGEST_LOCALE, fall_backs

MOST_CONTENTS = 500
LAST_VERSION = 2**31 - 1  # what both databases can count to
KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}\Z")
_LOCALE = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8})*\Z")

Place = tuple[str, str]  # channel or `*`, locale
Contents = Mapping[Place, Words]


def create(key: str, contents: Contents | None = None, *, base: int | None = None) -> int:
    """A new draft: with these words, or those of version `base`, or of the one that is published, or none. → its
    version. Raises Rejected.
    """
    if not KEY.match(key):
        raise refused(
            Fault(
                "/key", "invalid_key", "the name is 1 to 64 of A-Z a-z 0-9 _ . - and begins with a letter, a digit or _"
            )
        )
    if contents is not None:
        check(key, contents)
    try:
        with transaction() as session:
            versions = versions_of(session, key)
            version = max(versions, default=0) + 1
            if contents is None:
                contents = _copied(session, key, versions, base)
            row = Template(key=key, version=version)
            session.add(row)
            session.flush()
            add_contents(session, row.id, contents)
            audit.write("template.created", f"{key}@{version}", after={"base": base, "contents": _named(contents)})
    except IntegrityError:
        raise Rejected("conflict", f"somebody else has just made a version of {key}; try again") from None
    return version


def save(
    key: str,
    version: int,
    changes: Mapping[Place, Words | None],
    *,
    seen: Mapping[Place, str] | None = None,
    is_whole: bool = False,
) -> None:
    """Writes words into a draft; None takes them out. `is_whole`: texts that are not named are removed, too.

    `seen`: the `revision` of each place as its author last saw it. Raises Rejected if somebody else has changed one of
    them meanwhile.
    """
    check(key, {place: words for place, words in changes.items() if words is not None})
    with transaction() as session:
        row = _draft(session, key, version)
        before = contents_of(session, row.id)
        for place, revision in (seen or {}).items():
            refuse_stale(revision, revision_of(before.get(place)), f"{place_name(place)} of this draft")
        kept_on = {} if is_whole else {place: words for place, words in before.items() if place not in changes}
        after = kept_on | {place: words for place, words in changes.items() if words is not None}
        changed = {place for place in before.keys() | after.keys() if before.get(place) != after.get(place)}
        if not changed:
            return
        session.execute(
            sa.delete(TemplateContent).where(
                TemplateContent.template_id == row.id,
                sa.tuple_(TemplateContent.channel, TemplateContent.locale).in_(sorted(changed)),
            )
        )
        add_contents(session, row.id, {place: after[place] for place in changed if place in after})
        audit.write("template.saved", f"{key}@{version}", before=_of(before, changed), after=_of(after, changed))


def publish(key: str, version: int, *, seen: str | None = None) -> int | None:
    """Makes a draft, or an archived version, the one that is used. → the version that it replaces. `seen`: the
    `revision_beside` of what somebody looked at. Raises Rejected, also if that is not what would be published.
    """
    row = (
        db.session.scalar(sa.select(Template).where(Template.key == key, Template.version == version))
        if version <= LAST_VERSION
        else None
    )
    checked = contents_of(db.session, (row or missing(key, version)).id)
    if checked:
        check(key, checked, is_whole=True)
    try:
        with transaction() as session:
            rows = versions_of(session, key)
            row = rows.get(version) or missing(key, version)
            if row.status == PUBLISHED:
                raise Rejected("conflict", f"version {version} is already published")
            _refuse_tried(key)
            contents = contents_of(session, row.id)
            used = next((other.version for other in rows.values() if other.status == PUBLISHED), None)
            if seen is not None and revision_beside(contents, used) != seen:
                raise Rejected(
                    "conflict",
                    f"somebody else has changed version {version} of {key}, or published another one, since you looked "
                    "at it; look again",
                )
            if contents != checked:
                raise Rejected(
                    "conflict", f"somebody else has just changed version {version} of {key}; look at it first"
                )
            if not contents:
                raise refused(
                    Fault("/contents", "empty", "write something first: this version has no words for any channel")
                )
            old = put_in_use(session, rows, row)
    except IntegrityError:
        raise Rejected(
            "conflict", f"somebody else has just published another version of {key}; look at it first"
        ) from None
    kept.forget()
    return old.version if old else None


def is_tried(key: str) -> bool:
    """Whether an experiment with it is under way, or being prepared: inside a transaction that holds `versions_of`."""
    current = sa.select(Experiment.id).where(Experiment.key == key, Experiment.status != STOPPED)
    return db.session.scalar(current) is not None


def _refuse_tried(key: str) -> None:
    if is_tried(key):
        raise Rejected("conflict", f"there is an experiment with {key}: stop it, and keep what is best")


def store_published(session: scoped_session[Session], key: str, contents: Contents) -> int:
    """Publishes exactly these words as a new version, inside the caller's transaction; they have passed the checks. →
    its version. The caller then forgets what is `kept`. Raises Rejected during an experiment.
    """
    rows = versions_of(session, key)
    _refuse_tried(key)
    row = Template(key=key, version=max(rows, default=0) + 1)
    session.add(row)
    session.flush()
    add_contents(session, row.id, contents)
    put_in_use(session, rows, row, contents=_named(contents))
    return row.version


def put_in_use(
    session: scoped_session[Session], rows: Mapping[int, Template], row: Template, **about: Any
) -> Template | None:
    """Publishes a version, inside a transaction that holds `rows`, all `versions_of` the key. → the one that it
    replaces. Who has published words is known by this line of the audit trail: `operations.installation` asks it
    before a release's own take their place.
    """
    old = next((other for other in rows.values() if other.status == PUBLISHED), None)
    if old is not None:
        old.status = ARCHIVED
        session.flush()
    row.status, row.published_at = PUBLISHED, now()
    audit.write(
        "template.published",
        f"{row.key}@{row.version}",
        before={"published": old.version if old else None},
        after={"published": row.version, **about},
    )
    return old


def warnings(key: str, contents: Contents) -> list[Fault]:
    """What is worth a look before these words are published, but stops nobody. None at all while no process is free."""
    try:
        return process_pool.run(process_pool.AUTHORS, template_lint.warnings, contents, _about(key))
    except Rejected:
        return []


def revision_of(words: Words | None) -> str:
    """A short text, another one as soon as anything in the words has changed."""
    return revisions.revision_of(asdict(words) if words else None)


def revision_beside(contents: Contents, published: int | None) -> str:
    """The revision of all words of a version, and of the version that it would replace."""
    return revisions.revision_of(published, sorted([*place, revision_of(words)] for place, words in contents.items()))


def place_faults(places: Sequence[Place]) -> list[Fault]:
    """`places` in the order of the request."""
    faults = []
    for index, (channel, locale) in enumerate(places):
        if channel != ANY_CHANNEL and channel not in CHANNELS:
            faults.append(Fault(f"/contents/{index}/channel", "unknown_channel", f"there is no channel {channel!r}"))
        if not _LOCALE.match(locale) or len(locale) > LONGEST_LOCALE or fall_backs(locale)[0] != locale:
            faults.append(
                Fault(
                    f"/contents/{index}/locale",
                    "invalid_locale",
                    f"{locale[:40]!r} is not a language; languages are written like en, de, pt-BR or zh-Hant",
                )
            )
        if (channel, locale) in places[:index]:
            faults.append(Fault(f"/contents/{index}", "duplicate", f"{place_name((channel, locale))} is here twice"))
    return faults


def check(key: str, contents: Contents, *, is_whole: bool = False, about: template_check.About | None = None) -> None:
    """Before the transaction: what people wrote is compiled and tried, apart from the hub. Raises Rejected.

    `about`: of a type that is not stored yet.
    """
    faults = place_faults(list(contents))
    if len(contents) > MOST_CONTENTS:
        faults.append(Fault("/contents", "too_long", f"at most {MOST_CONTENTS} of them"))
    else:
        faults += process_pool.run(
            process_pool.AUTHORS, template_check.faults, contents, about or _about(key), is_whole=is_whole
        )
    if faults:
        raise refused(*faults)


def _about(key: str) -> template_check.About:
    type_ = db.session.get(EventType, key)
    sample = sample_of(key, type_.schema if type_ else None)
    return (
        template_check.About(key, sample, type_.category, type_.is_mandatory)
        if type_
        else template_check.About(key, sample)
    )


def refused(*faults: Fault) -> Rejected:
    said = (f"line {fault.line}: {fault.message}" if fault.line else fault.message for fault in faults[:3])
    return Rejected("validation_failed", "; ".join(said), faults)


def versions_of(session: scoped_session[Session], key: str) -> dict[int, Template]:
    """All of the key, held until the end of the transaction."""
    rows = session.scalars(sa.select(Template).where(Template.key == key).order_by(Template.version).with_for_update())
    return {row.version: row for row in rows}


def _draft(session: scoped_session[Session], key: str, version: int) -> Template:
    row: Template | None = session.scalar(
        sa.select(Template).where(Template.key == key, Template.version == version).with_for_update()
    )
    if row is None:
        missing(key, version)
    if row.status != DRAFT:
        raise Rejected(
            "conflict",
            f"version {version} has been published, and published versions never change; copy it into a new draft",
        )
    return row


def missing(key: str, version: int) -> NoReturn:
    raise Rejected("not_found", f"there is no template '{key[:80]}@{version}'")


def _copied(session: scoped_session[Session], key: str, versions: Mapping[int, Template], base: int | None) -> Contents:
    """Without words for channels that are no longer there, with which it could not be published."""
    if base is not None:
        row: Template | None = versions.get(base) or missing(key, base)
    else:
        row = next((row for row in versions.values() if row.status == PUBLISHED), None)
    contents = contents_of(session, row.id) if row else {}
    return {place: words for place, words in contents.items() if place[0] in (ANY_CHANNEL, *CHANNELS)}


def contents_of(session: Any, template_id: UUID) -> dict[Place, Words]:
    """In the order in which the API shows them: faults name them by their index."""
    rows = session.scalars(
        sa.select(TemplateContent)
        .where(TemplateContent.template_id == template_id)
        .order_by(TemplateContent.channel, TemplateContent.locale)
    )
    return {(row.channel, row.locale): Words(**{name: getattr(row, name) for name in FIELDS}) for row in rows}


def add_contents(session: scoped_session[Session], template_id: UUID, contents: Contents) -> None:
    rows = [
        {"template_id": template_id, "channel": channel, "locale": locale, **asdict(words)}
        for (channel, locale), words in contents.items()
    ]
    if rows:
        session.execute(sa.insert(TemplateContent.__table__), rows)


def place_name(place: Place) -> str:
    channel, locale = place
    return (
        f"{'any channel' if channel == ANY_CHANNEL else CHANNELS[channel].label if channel in CHANNELS else channel} "
        f"({locale})"
    )


def _named(contents: Contents) -> list[str]:
    return sorted(f"{channel} {locale}" for channel, locale in contents)


def _of(contents: Contents, changed: set[Place]) -> dict[str, Any]:
    """The contents for the audit trail: a line for each field that is not empty."""
    places = sorted(place for place in changed if place in contents)
    return {" ".join(place): {name: text for name, text in contents[place].texts().items() if text} for place in places}
