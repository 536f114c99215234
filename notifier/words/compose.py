"""Composes planned notifications: finds their templates and links, then renders.

Called by `planning.beforehand` (in-app items), `delivery.prepare` (all other channels), the dry run and template
trials, so all use the same code. Never inside a transaction: templates are user-written programs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from notifier.channels import CHANNELS
from notifier.core.brand import NO_BRAND
from notifier.core.facts import AddressFacts
from notifier.core.message import Content
from notifier.ground import process_pool, tokens
from notifier.ground.config import current_settings
from notifier.ground.encryption import vault
from notifier.ground.shapes import HOW_OFTEN
from notifier.ground.tokens import NOBODY, PreferenceLink, Subject
from notifier.models import EventType
from notifier.people.person import Person
from notifier.words.brands import brands_of
from notifier.words.render import RenderFault, RenderRequest, render, render_some, type_title
from notifier.words.store import load_templates


@dataclass(slots=True)
class Wanted:
    """One message to be put into words. `address`: where it goes (None: nowhere outside). `unsubscribe_url`: signed
    once, for the foot of the mail and for its header.
    """

    channel: str
    type: EventType
    template_id: UUID | None
    person: Person
    data: Mapping[str, Any]
    address: AddressFacts | None = None
    producer_id: UUID | None = None
    unsubscribe_url: str | None = field(init=False)

    def __post_init__(self) -> None:
        self.unsubscribe_url = unsubscribe_url(self.person.subject, self.type, self.channel, self.address)


def may_unsubscribe_from(type: EventType) -> bool:
    """Not from what was asked for: transactional messages, and the product's own (codes, sign-in links)."""
    return type.category != "transactional" and not (type.is_internal and type.is_mandatory)


def unsubscribe_url(whom: Subject, type: EventType, channel: str, address: AddressFacts | None) -> str | None:
    """The one-click link of a mail. Transactional mails and the product's own (codes, sign-in links) have none: they
    were asked for.

    It unsubscribes the person; for an address that only came with the notification, that address.
    """
    if not CHANNELS[channel].shape.has_html or not may_unsubscribe_from(type):
        return None
    if address is not None and address.id is None and whom != NOBODY:
        digest = vault.newest(address.digest)
        return current_settings().link("u", tokens.sign_address_unsubscribe(digest, type.category, channel))
    return current_settings().link("u", tokens.sign_unsubscribe(whom, type.category, channel))


def why_url(link: PreferenceLink, type: EventType, channel: str, address: AddressFacts | None) -> str | None:
    """Leads from the foot of a mail to the setting that allowed it, without signing in; from a digest to the digest's
    frequency.

    The link shows and changes the person's preferences, so it goes only to an address that its owner has confirmed. The
    product's own messages (codes, sign-in links) were asked for, and have none.
    """
    is_theirs = address is not None and address.is_confirmed
    if not is_theirs or not CHANNELS[channel].shape.has_html or (type.is_internal and type.is_mandatory):
        return None
    place = HOW_OFTEN if type.is_internal else f"{type.key}-{channel}"
    return current_settings().link("p", tokens.sign_preferences(link), fragment=place)


def put_into_words(wanted: Sequence[Wanted]) -> list[Content | str]:
    """One content each, or the sentence that says why there is none. At most two queries for the whole batch."""
    return [_said(result) for result in render(_requests(wanted))]


def put_some_into_words(wanted: Sequence[Wanted], most: int, *, apart: bool = False) -> list[Content | str | None]:
    """As `put_into_words`, in order, until that many units of work are spent: None for the others.

    `apart`: in another process, so that nobody waits for what may be a hundred mails; raises Rejected('unavailable')
    when none is free.
    """
    requests = _requests(wanted)
    results = (
        process_pool.run(process_pool.MESSAGES, render_some, requests, most)
        if apart and requests
        else render_some(requests, most)
    )
    return [None if result is None else _said(result) for result in results]


def title_of(type: EventType, locale: str | None) -> str:
    """A message's title when its type has no template: the type's name."""
    return type_title(type.key, type.titles, locale)


def _said(result: Content | RenderFault) -> Content | str:
    return str(result) if isinstance(result, RenderFault) else result


def _requests(wanted: Sequence[Wanted]) -> list[RenderRequest]:
    templates = load_templates({w.template_id for w in wanted if w.template_id})
    brands = brands_of(w.producer_id for w in wanted if CHANNELS[w.channel].shape.has_html)
    site_url = current_settings().public_url
    return [
        RenderRequest(
            channel=w.channel,
            locale=w.person.locale,
            type=w.type.key,
            template=templates.get(w.template_id) if w.template_id else None,
            titles=w.type.titles,
            data=w.data,
            user_name=w.person.name,
            zone=w.person.reading_zone or w.person.zone,
            category=w.type.category,
            why_url=why_url(PreferenceLink(w.person.subject, w.producer_id), w.type, w.channel, w.address),
            site_url=site_url,
            is_mandatory=w.type.is_mandatory,
            brand=brands.get(w.producer_id, NO_BRAND),
            unsubscribe_url=w.unsubscribe_url,
        )
        for w in wanted
    ]
