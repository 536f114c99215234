"""What belongs to a channel whose adapter has been taken out: rows stay, and every page that shows them is shown."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.core.submission import InlineRecipient
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.models import Capture, Delivery, EventType, Preference, Provider
from notifier.pipeline.delivery.deliver import deliver
from notifier.pipeline.upkeep import trends
from notifier.queries import templates as queries
from tests.stored import rows
from tests.web.conftest import Visitor

GONE = "pager"


@pytest.fixture
def left(app: APIFlask, submit: Callable[..., Any]) -> dict[str, str]:
    """Page by page, what is left of it; each is the latest of its kind."""
    trends.count()
    sent = submit(InlineRecipient("u1", {"email": "u1@example.test"}), channels=("email",))
    failed = submit(InlineRecipient("u2", {"email": "rejected@sandbox.test"}), channels=("email",))
    db.session.close()
    deliver([row.id for row in rows(Delivery) if row.status == "queued"])
    while trends.count():
        pass
    with transaction() as session:
        session.add(Provider(channel="email", adapter="pager_corp", name="pagers", settings={}))
        session.merge(Preference(user_id="u1", document={"channels": {GONE: False}, "types": {}, "categories": {}}))
        session.execute(sa.update(EventType).where(EventType.key == "order_shipped").values(channels=["inapp", GONE]))
        for table in db.metadata.sorted_tables:
            if "channel" in table.c:
                session.execute(sa.update(table).where(table.c.channel == "email").values(channel=GONE))
    dead = next(row for row in rows(Delivery) if row.status == "failed")
    return {
        "sent": sent["notifications"][0]["id"],
        "failed": failed["notifications"][0]["id"],
        "dead": show("dlv", dead.id),
        "capture": show("cap", rows(Capture)[0].id),
    }


def test_every_page_is_shown(signed_in: Callable[..., Visitor], left: dict[str, str]) -> None:
    admin = signed_in("admin")
    pages = (
        "",
        "failed",
        "failed/jobs",
        "failed/registry",
        f"failed/actions/new?kind=retry&channel={GONE}",
        f"failed/{left['dead']}",
        "queues",
        "notifications",
        f"notifications/{left['sent']}",
        f"notifications/{left['failed']}",
        "sandbox",
        f"sandbox/{left['capture']}",
        "users/u1",
        "users/u1/preferences",
        "types",
        "types/order_shipped",
        "templates",
        "templates/order_shipped",
        "templates/order_shipped/1",
        f"templates/order_shipped/1?channel={GONE}&locale=en",
        "templates/order_shipped/1/publish",
        "providers",
        "costs",
        "costs/csv",
        "audit",
    )
    answers = {page: admin.get(f"/admin/{page}").status_code for page in pages}
    assert {page: status for page, status in answers.items() if status != 200} == {}


def test_words_for_it_are_left_out_of_the_next_version(signed_in: Callable[..., Visitor], left: dict[str, str]) -> None:
    admin, home = signed_in("admin"), "/admin/templates/order_shipped"
    admin.post(f"{home}/draft")
    assert {channel for channel, _ in queries.source("order_shipped", 2).contents} >= {"*", "sms"}
    assert GONE not in {channel for channel, _ in queries.source("order_shipped", 2).contents}
    db.session.rollback()
    # Nobody takes out the words of another channel who means these
    refused = admin.post(f"{home}/2/remove?channel={GONE}&locale=en")
    assert refused.status_code == 404
    assert admin.post(f"{home}/2/publish").status_code == 303
    assert {row.version: row.status for row in queries.versions("order_shipped")} == {1: "archived", 2: "published"}
    assert admin.get(f"{home}/1/publish").status_code == 200


def test_people_are_shown_theirs(signed_in: Callable[..., Visitor], left: dict[str, str], api: Any) -> None:
    person = signed_in("person", "u1")
    answers = {page: person.get(f"/{page}") for page in ("inbox", "why", "preferences", "preferences/addresses")}
    for call in ("users/u1", "users/u1/addresses", "users/u1/preferences", "users/u1/export", "notifications"):
        answers[call] = api.get(f"/api/v1/{call}")
    assert {page: answer.status for page, answer in answers.items() if answer.status_code != 200} == {}
    [address] = answers["users/u1/addresses"].json["data"]
    assert api.delete(f"/api/v1/users/u1/addresses/{address['id']}").status_code == 204
