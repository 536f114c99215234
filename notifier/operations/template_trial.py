"""A trial of a template before it is published: rendered with sample data, or sent to its author only.

Called by the template editor and the API. `words.render` makes the preview; a test message goes the normal way with
exactly that version, so it looks as it will for everybody.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from notifier.catalogue.samples import longest_of
from notifier.channels import CHANNELS
from notifier.core.brand import NO_BRAND
from notifier.core.errors import Fault, Rejected
from notifier.core.facts import AddressFacts
from notifier.core.message import Content
from notifier.core.submission import InlineRecipient, Submission
from notifier.core.wording import TemplateSource
from notifier.ground import process_pool
from notifier.ground.config import current_settings
from notifier.ground.extensions import db
from notifier.ground.tokens import NOBODY, PreferenceLink
from notifier.ground.zones import UTC
from notifier.ledgers import audit
from notifier.models import EventType, Template
from notifier.people.person import load_people
from notifier.pipeline.intake import own
from notifier.pipeline.intake.item import Accepted
from notifier.words.brands import brands_of
from notifier.words.compose import unsubscribe_url, why_url
from notifier.words.render import RenderFault, RenderRequest, try_some

_MOST_WORK = 1_000_000  # units, for one page
# For one message alone, so that an author needs none of their own.
_SANDBOX_ADDRESSES = {"email": "delivered@sandbox.test", "phone": "+15550100000"}
READER = "Alice"  # who a preview speaks to
_LONG_NAME = "Alexandra Featherstonehaugh"
_A_CONFIRMED_ADDRESS = AddressFacts(None, "email", "a…@example.com", is_confirmed=True)
NOWHERE = PreferenceLink(NOBODY)  # and where its links lead


def preview(
    source: TemplateSource, channel: str, locale: str, data: Mapping[str, Any], type: EventType | None
) -> Content | RenderFault:
    """The message as a reader of that language would get it, with the installation's brand. `type` gives it title and
    category; None if no type has the template's name.
    """
    [result] = preview_each(source, [(channel, locale)], data, type)
    return result


def preview_each(
    source: TemplateSource, places: Sequence[tuple[str, str]], data: Mapping[str, Any], type: EventType | None
) -> list[Content | RenderFault]:
    """In these channels and languages, by the process pool. Raises Rejected('unavailable')."""
    return _tried([_request(source, channel, locale, data, type, READER) for channel, locale in places])


def preview_with_long_data(
    source: TemplateSource, channel: str, locale: str, data: Mapping[str, Any], type: EventType | None
) -> tuple[Content | RenderFault, Content | RenderFault]:
    """With the data, and with the longest of their kind. Raises Rejected('unavailable')."""
    longest = longest_of(data, type.schema if type else None)
    shown, long = _tried(
        [
            _request(source, channel, locale, data, type, READER),
            _request(source, channel, locale, longest, type, _LONG_NAME),
        ]
    )
    return shown, long


def _request(
    source: TemplateSource, channel: str, locale: str, data: Mapping[str, Any], type: EventType | None, reader: str
) -> RenderRequest:
    return RenderRequest(
        channel=channel,
        locale=locale,
        type=source.key,
        template=source,
        titles=type.titles if type else {},
        data=data,
        user_name=reader,
        zone=UTC,
        category=type.category if type else "transactional",
        why_url=why_url(NOWHERE, type, channel, _A_CONFIRMED_ADDRESS) if type else None,
        unsubscribe_url=unsubscribe_url(NOBODY, type, channel, None) if type else None,
        site_url=current_settings().public_url,
        is_mandatory=type is not None and type.is_mandatory,
        brand=brands_of([None])[None] if CHANNELS[channel].shape.has_html else NO_BRAND,
    )


def _tried(requests: Sequence[RenderRequest]) -> list[Content | RenderFault]:
    results = process_pool.run(process_pool.AUTHORS, try_some, requests, _MOST_WORK)
    return [
        RenderFault("together they take too much work to be shown", is_too_much=True) if result is None else result
        for result in results
    ]


def send_to_author(
    key: str, version: int, type_key: str, channel: str, user_id: str, data: Mapping[str, Any], *, to_sandbox: bool
) -> Accepted:
    """A notification with this version, draft or not, for one person; in the sandbox it is kept as they would have got
    it. Raises Rejected.
    """
    template_id: UUID | None = db.session.scalar(
        sa.select(Template.id).where(Template.key == key, Template.version == version)
    )
    if template_id is None:
        raise Rejected("not_found", f"there is no template '{key[:80]}@{version}'")
    if user_id not in load_people([user_id]):
        raise Rejected(
            "unknown_user",
            f"there is no user {user_id!r}",
            (Fault("/user", "unknown_user", "your account has no user to send to"),),
        )
    submission = Submission(
        type=type_key,
        recipients=(InlineRecipient(user_id, _SANDBOX_ADDRESSES if to_sandbox else {}),),
        data=data,
        channels=(channel,),
        dedupe=False,
        template_id=template_id,
    )
    noted = audit.Entry("template.tested", f"{key}@{version}", {"channel": channel, "to_sandbox": to_sandbox})
    return own.submit(submission, is_test=to_sandbox, noted=noted)
