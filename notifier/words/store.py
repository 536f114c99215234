"""Published templates by id, read once and kept in the process: a published version never changes.

`words.compose` asks for all templates of a batch at once. Drafts are read again every time.
"""

from collections import OrderedDict
from collections.abc import Iterable
from threading import Lock
from uuid import UUID

from sqlalchemy import select

from notifier.core.wording import FIELDS, TemplateSource, Words
from notifier.ground.extensions import db
from notifier.models import Template, TemplateContent

MOST_KEPT = 1_000


_kept: OrderedDict[UUID, TemplateSource] = OrderedDict()
_lock = Lock()


def load_templates(ids: Iterable[UUID]) -> dict[UUID, TemplateSource]:
    """Those of `ids` that exist; one query for all that are not kept, none when all are."""
    wanted = set(ids)
    with _lock:
        found = {id: _kept[id] for id in wanted if id in _kept}
        for id in found:
            _kept.move_to_end(id)
    missing = wanted - found.keys()
    return found | _read(missing) if missing else found


def _read(ids: set[UUID]) -> dict[UUID, TemplateSource]:
    about = (Template.id, Template.key, Template.version, Template.status)
    content = (TemplateContent.channel, TemplateContent.locale, *(getattr(TemplateContent, name) for name in FIELDS))
    query = (
        select(*about, *content)
        .outerjoin(TemplateContent, TemplateContent.template_id == Template.id)
        .where(Template.id.in_(ids))
    )
    read: dict[UUID, TemplateSource] = {}
    drafts: set[UUID] = set()
    contents: dict[UUID, dict[tuple[str, str], Words]] = {}
    for id, key, version, status, channel, locale, *words in db.session.execute(query):
        of_template = contents.setdefault(id, {})
        read.setdefault(id, TemplateSource(id, key, version, of_template))
        if status == "draft":
            drafts.add(id)
        if channel is not None:
            of_template[channel, locale] = Words(*words)
    with _lock:
        _kept.update({id: source for id, source in read.items() if id not in drafts})
        while len(_kept) > MOST_KEPT:
            _kept.popitem(last=False)
    return read
