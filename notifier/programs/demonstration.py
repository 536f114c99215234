"""Demo data: a person and a handful of notifications, submitted the normal way through `intake.accept`."""

import secrets
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from notifier.access import keys
from notifier.core.errors import Rejected
from notifier.core.submission import InlineRecipient, Submission
from notifier.ground.extensions import db
from notifier.models import Producer, User
from notifier.operations.installation import ADMIN_USER_ID
from notifier.pipeline.intake.accept import accept
from notifier.pipeline.intake.item import Caller, Item

_PRODUCER = "Demo"
_PERSON = InlineRecipient(
    "demo",
    {
        "name": "Dana Demo",
        "email": "dana@example.test",
        "phone": "+4915112345670",
        "locale": "en",
        "time_zone": "Europe/Berlin",
    },
)
_STORY = (
    ("order_confirmed", {"order_id": "{order}", "total": 59.9, "currency": "EUR"}),
    ("order_shipped", {"order_id": "{order}", "carrier": "DHL", "tracking_url": "https://example.test/track/{order}"}),
    ("comment", {"actor": "Alice", "text": "Lovely colour!", "url": "https://example.test/posts/7"}),
    (
        "promotional_offer",
        {"title": "A fifth off everything blue", "code": "BLUE20", "url": "https://example.test/offers/blue"},
    ),
    ("security_alert", {"event": "A sign-in from a new device", "device": "Firefox on Linux", "place": "Berlin"}),
)


def add_demo(*, only_once: bool = False) -> int:
    """Returns how many submissions were made; 0 with `only_once` when a demo was added before."""
    producer_id = db.session.scalar(select(Producer.id).where(Producer.name == _PRODUCER).limit(1))
    if producer_id and only_once:
        return 0
    caller = Caller.of_key(
        producer_id or keys.create_producer(_PRODUCER).id,
        ("notify", "users"),
        None,
        is_test=False,
        request_id="demo",
        label=_PRODUCER,
    )
    recipients = (_PERSON, InlineRecipient(ADMIN_USER_ID)) if db.session.get(User, ADMIN_USER_ID) else (_PERSON,)
    order = f"A{secrets.randbelow(9000) + 1000}"
    items = [
        Item(caller, Submission(type_, recipients, _filled(data, order), dedupe=False))  # again is meant
        for type_, data in _STORY
    ]
    refused = [answer for answer in accept(items) if isinstance(answer, Rejected)]
    if refused:
        raise refused[0]
    return len(items)


def _filled(data: Mapping[str, Any], order: str) -> dict[str, Any]:
    return {key: value.format(order=order) if isinstance(value, str) else value for key, value in data.items()}
