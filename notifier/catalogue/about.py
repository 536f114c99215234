"""What people keep about a template, all its versions together: a name, a description and free metadata.

Called by the API, the console and the files of templates. None of it is sent, or known to rendering.
"""

from dataclasses import asdict

import sqlalchemy as sa
from sqlalchemy.orm import Session, scoped_session

from notifier.core import revisions
from notifier.core.errors import Fault, Rejected
from notifier.core.pointers import pointer_to
from notifier.core.revisions import refuse_stale
from notifier.core.wording import About
from notifier.ground.database import retried, transaction
from notifier.ledgers import audit
from notifier.models import Template, TemplateAbout

LONGEST_NAME, LONGEST_DESCRIPTION = 200, 2_000
MOST_PAIRS, LONGEST_KEY, LONGEST_VALUE = 20, 64, 500


def revision_of(about: About) -> str:
    return revisions.revision_of(asdict(about))


@retried
def save(key: str, about: About, *, seen: str | None = None) -> None:
    """In the place of what was kept. `seen`: the `revision_of` that as somebody was shown it. Raises Rejected."""
    check(about)
    with transaction() as session:
        if session.scalar(sa.select(Template.id).where(Template.key == key).limit(1)) is None:
            raise Rejected("not_found", f"there is no template {key[:80]!r}")
        refuse_stale(seen, revision_of(_kept(session, key)), f"what is kept about {key}")
        store(session, key, about)


def store(session: scoped_session[Session], key: str, about: About) -> None:
    """`save` inside the caller's transaction, of what has no `faults`."""
    before = _kept(session, key)
    if about == before:
        return
    audit.write("template.described", key, before=asdict(before), after=asdict(about))
    session.merge(TemplateAbout(key=key, name=about.name, description=about.description, pairs=dict(about.metadata)))


def _kept(session: scoped_session[Session], key: str) -> About:
    """Locks the row, if there is one."""
    row = session.get(TemplateAbout, key, with_for_update=True, populate_existing=True)
    return About(row.name, row.description, row.pairs) if row else About()


def check(about: About, within: str = "") -> None:
    """`within`: where it stands in the request. Raises Rejected."""
    found = [Fault(within + fault.pointer, fault.code, fault.message) for fault in faults(about)]
    if found:
        raise Rejected("validation_failed", "; ".join(fault.message for fault in found[:3]), tuple(found))


def faults(about: About) -> list[Fault]:
    found = [
        Fault(f"/{name}", "too_long", f"at most {longest} characters")
        for name, longest in (("name", LONGEST_NAME), ("description", LONGEST_DESCRIPTION))
        if len(getattr(about, name)) > longest
    ]
    if "\0" in about.name + about.description:
        found.append(Fault("/description", "invalid_text", "a text cannot contain the character NUL"))
    if len(about.metadata) > MOST_PAIRS:
        found.append(Fault("/metadata", "too_many", f"at most {MOST_PAIRS} keys"))
    for key, value in about.metadata.items():
        if not 1 <= len(key) <= LONGEST_KEY or not key.isprintable():
            message = f"a key is 1 to {LONGEST_KEY} characters that can be printed"
            found.append(Fault(pointer_to("metadata", key[:LONGEST_KEY]), "invalid_key", message))
        elif len(value) > LONGEST_VALUE or "\0" in value:
            message = f"a value is at most {LONGEST_VALUE} characters, without NUL"
            found.append(Fault(pointer_to("metadata", key), "too_long", message))
    return found
