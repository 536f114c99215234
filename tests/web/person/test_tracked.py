"""The doors of tracked links: where they lead, and what cannot be done with them."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from apiflask import APIFlask
from flask.testing import FlaskClient

from notifier.ground import tokens
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import new_id
from notifier.ground.tokens import TrackedLink
from notifier.models import Delivery, Notification, Receipt
from tests.conftest import subject_of
from tests.stored import deliveries, rows
from tests.tracked import CHROME

TARGETS = ["https://shop.test/o/1?a=1&b=%26#part", "https://bücher.test/größe?q=ß#ü", "http://shop.test"]
PREFETCH = {"Sec-Purpose": "prefetch"}


@pytest.fixture
def sent(cast: Any, arrive: Any) -> UUID:
    """A delivery whose mail has gone out some time ago, with links."""
    arrive("alice")
    [row] = deliveries()
    with transaction() as session:
        session.execute(sa.update(Notification).values(data={}))
        session.execute(sa.update(Delivery).values(links=TARGETS, sent_at=row.created_at, status="delivered"))
    return row.id


def link(delivery: UUID, number: int = 1) -> str:
    return f"/t/{tokens.sign_link(TrackedLink(delivery, number))}"


def pixel(delivery: UUID) -> str:
    return f"/o/{tokens.sign_pixel(delivery)}.gif"


@pytest.fixture
def database_away(app: APIFlask) -> Iterator[None]:
    """It answers nothing: every connection fails."""

    def refuse(*_: Any) -> None:
        raise sa.exc.OperationalError("connect", None, ConnectionError("away"))

    db.session.close()
    sa.event.listen(db.engine, "before_cursor_execute", refuse)
    try:
        yield
    finally:
        sa.event.remove(db.engine, "before_cursor_execute", refuse)
        db.session.rollback()


@pytest.mark.parametrize(
    ("number", "location"),
    [
        (1, TARGETS[0]),
        (2, "https://xn--bcher-kva.test/gr%C3%B6%C3%9Fe?q=%C3%9F#%C3%BC"),
        (3, "http://shop.test"),
    ],
)
def test_a_link_leads_to_its_target_and_nobody_keeps_the_answer(
    client: FlaskClient, sent: UUID, number: int, location: str
) -> None:
    answer = client.get(link(sent, number), headers={"User-Agent": CHROME})
    assert (answer.status_code, answer.location) == (302, location)
    assert (answer.headers["Cache-Control"], answer.headers["Referrer-Policy"]) == ("no-store", "no-referrer")
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(("method", "headers"), [("HEAD", {}), ("GET", PREFETCH), ("GET", {"X-Moz": "prefetch"})])
def test_who_only_looks_ahead_is_led_on_and_not_counted(
    client: FlaskClient, sent: UUID, method: str, headers: dict[str, str]
) -> None:
    for path in (link(sent), pixel(sent)):
        answer = client.open(path, method=method, headers={"User-Agent": CHROME} | headers)
        assert answer.status_code == (302 if path.startswith("/t/") else 200)
    assert rows(Receipt) == []


def test_the_pixel_is_one_dot_that_is_never_kept(client: FlaskClient, sent: UUID) -> None:
    answer = client.get(pixel(sent))
    assert (answer.status_code, answer.mimetype, answer.data[:6], answer.data[6:10]) == (
        200,
        "image/gif",
        b"GIF89a",
        b"\x01\x00\x01\x00",
    )
    assert {"no-store", "no-cache"} <= set(answer.headers["Cache-Control"].split(", "))
    assert answer.headers["Pragma"] == "no-cache"


BAD: dict[str, Callable[[UUID], str]] = {
    "nonsense": lambda sent: "abc",
    "another signature": lambda sent: f"{tokens.sign_link(TrackedLink(sent, 1)).rpartition('.')[0]}.{'A' * 43}",
    "another body": lambda sent: ".".join(
        tokens.sign_link(TrackedLink(sent, number)).split(".")[part] for part, number in enumerate((2, 1))
    ),
    "of another purpose": tokens.sign_pixel,
    "to unsubscribe": lambda sent: tokens.sign_unsubscribe(subject_of("alice"), "marketing", "email"),
    "a link too far": lambda sent: tokens.sign_link(TrackedLink(sent, len(TARGETS) + 1)),
    "a negative link": lambda sent: tokens.sign_link(TrackedLink(sent, -1)),
    "the link that nobody sees": lambda sent: tokens.sign_link(TrackedLink(sent, 0)),
    "of a delivery that is gone": lambda sent: tokens.sign_link(TrackedLink(new_id(), 1)),
    "too long": lambda sent: "a" * 5_000,
    "an address": lambda sent: "https:evil.test",
    "a null": lambda sent: "%00",
    "not ASCII": lambda sent: "%C3%BC",
}


@pytest.mark.parametrize("name", list(BAD))
def test_whatever_is_no_link_of_ours_is_a_page_and_leads_nowhere(client: FlaskClient, sent: UUID, name: str) -> None:
    token = BAD[name](sent)
    answer = client.get(f"/t/{token}", headers={"User-Agent": CHROME})
    assert (answer.status_code, answer.mimetype, answer.location) == (404, "text/html", None)
    assert "This link no longer works" in answer.text
    assert "evil.test" not in answer.text
    image = client.get(f"/o/{token}.gif", headers={"User-Agent": CHROME})
    assert (image.status_code, image.mimetype) == (200, "image/gif")


@pytest.mark.parametrize("extra", ["?url=https://evil.test", "?to=//evil.test#x", "//evil.test", "/..//evil.test"])
def test_nothing_said_beside_the_token_changes_where_it_leads(client: FlaskClient, sent: UUID, extra: str) -> None:
    answer = client.get(link(sent) + extra, headers={"Host": "evil.test", "X-Forwarded-Host": "evil.test"})
    assert answer.location in (None, TARGETS[0])


def test_a_link_leads_on_although_nobody_can_note_that_it_was_followed(client: FlaskClient, sent: UUID) -> None:
    """The disk is full, or the database takes no writes."""

    def refuse(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("INSERT INTO receipt"):
            raise sa.exc.OperationalError(statement, None, ConnectionError("away"))

    sa.event.listen(db.engine, "before_cursor_execute", refuse)
    try:
        answer = client.get(link(sent), headers={"User-Agent": CHROME})
    finally:
        sa.event.remove(db.engine, "before_cursor_execute", refuse)
    assert (answer.status_code, answer.location) == (302, TARGETS[0])
    assert rows(Receipt) == []


@pytest.mark.usefixtures("database_away")
def test_while_the_database_is_away_links_say_when_to_come_again_and_the_dot_is_there(client: FlaskClient) -> None:
    answer = client.get(link(UUID(int=1)), headers={"User-Agent": CHROME})
    assert (answer.status_code, answer.mimetype) == (503, "text/html")
    assert int(answer.headers["Retry-After"]) > 0
    image = client.get(pixel(UUID(int=1)), headers={"User-Agent": CHROME})
    assert (image.status_code, image.mimetype) == (200, "image/gif")
