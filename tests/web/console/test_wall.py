"""The wall: a link that shows the overview's figures, and opens nothing else."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.access import accounts, roles, wall_links
from notifier.core.errors import Rejected
from notifier.core.submission import InlineRecipient
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ledgers import tallies
from notifier.models import Account, AuditEntry, WallLink
from notifier.providers import health, pausing
from notifier.web import rates, throttle
from tests.stored import rows
from tests.web.conftest import Visitor

LINK = re.compile(r"/wall/([\w-]{43})")


@pytest.fixture
def admin(signed_in: Callable[..., Visitor]) -> Visitor:
    return signed_in("admin")


@pytest.fixture
def link(admin: Visitor) -> str:
    """Made by an admin. → its path."""
    page = admin.post("/admin/walls", {"name": "Berlin"}).text
    found = LINK.search(page)
    assert found is not None
    return found[0]


def actions() -> list[tuple[str, str, str]]:
    return [(row.actor, row.action, row.subject) for row in rows(AuditEntry) if row.action.startswith("wall_link")]


def test_a_link_shows_the_figures_and_names_nobody(
    app: APIFlask, visitor: Visitor, link: str, submit: Callable[..., Any]
) -> None:
    submit(InlineRecipient("ann-the-reader", {"email": "ann@example.test"}), type="like", data={"actor": "Bob"})
    pausing.pause("sms")
    health.force("webhook:hooks.customer.test:443", "open")
    with transaction():
        tallies.count({("email", "kept:high"): 990, ("email", "missed:high"): 10})
    answer = visitor.get(link)
    words = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.text))
    assert answer.status_code == 200
    assert "High 5 s 0 – 99 % of 1,000 100 %" in words.replace(" 1 – ", " 0 – ")
    assert "SMS has been paused" in words
    assert "webhook is not sending as usual" in words
    hidden = ("ann-the", "ann@", "Bob", "example.test", "customer.test", "/admin", "<form", "csrf")
    assert {word: word in answer.text for word in hidden} == dict.fromkeys(hidden, False)


def test_its_address_goes_nowhere_and_nothing_of_others_is_loaded(visitor: Visitor, link: str) -> None:
    headers = visitor.get(link).headers
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Robots-Tag"] == "noindex, nofollow"
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'")
    assert ("https:" in policy, "frame-ancestors 'none'" in policy, "form-action 'none'" in policy) == (
        False,
        True,
        True,
    )
    assert "Set-Cookie" not in headers


def test_a_link_is_listed_audited_and_revoked(admin: Visitor, visitor: Visitor, link: str) -> None:
    secret = link.removeprefix("/wall/")
    page = admin.get("/admin/walls").text
    assert ("Berlin" in page, ">never<" in page, secret in page) == (True, True, False)
    assert visitor.get(link).status_code == 200
    assert ">never<" not in admin.get("/admin/walls").text
    [stored] = db.session.scalars(sa.select(WallLink))
    assert secret.encode() not in bytes(stored.digest)
    assert admin.post(f"/admin/walls/{stored.shown_id}/revoke").status_code == 303
    assert visitor.get(link).status_code == 404
    assert admin.post(f"/admin/walls/{stored.shown_id}/revoke").status_code == 404
    assert [action for _, action, subject in actions() if subject == "Berlin"] == [
        "wall_link.made",
        "wall_link.revoked",
    ]
    assert secret not in str(actions())


def test_a_link_opens_nothing_else(visitor: Visitor, link: str) -> None:
    visitor.get(link)
    assert [visitor.get(path).status_code for path in ("/admin/", "/admin/walls", "/admin/failed")] == [302] * 3
    assert visitor.post(link, token=False).status_code in (400, 405)


@pytest.mark.slow
def test_guesses_and_looks_are_limited(visitor: Visitor, link: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "MOST_FAILURES", 2)
    assert [visitor.get(f"/wall/{guess * 43}").status_code for guess in "abcd"] == [404, 404, 429, 429]
    looks = [visitor.get(link).status_code for _ in range(rates.LOOKS_AT_WALL.amount + 1)]
    assert looks == [200] * rates.LOOKS_AT_WALL.amount + [429]


@pytest.mark.parametrize("name", ["", " " * 3, "x" * 61])
def test_a_link_needs_a_name(admin: Visitor, name: str) -> None:
    assert admin.post("/admin/walls", {"name": name}).status_code == 422
    assert db.session.scalar(sa.select(sa.func.count()).select_from(WallLink)) == 0


def test_there_are_twenty_links_at_most(admin: Visitor) -> None:
    made = [admin.post("/admin/walls", {"name": f"Screen {number}"}).status_code for number in range(21)]
    assert made == [200] * 20 + [422]


@pytest.mark.parametrize("what", ["the role is taken", "the account is disabled"])
def test_a_link_ends_with_the_admin_who_made_it(app: APIFlask, visitor: Visitor, link: str, what: str) -> None:
    other = accounts.create_account("other@example.test", None, "admin", "other")
    with transaction() as session:
        maker = session.scalar(sa.select(WallLink.made_by))
        account_id = session.scalar(sa.select(Account.id).where(Account.email == maker))
    assert account_id is not None
    assert visitor.get(link).status_code == 200
    if what == "the role is taken":
        roles.change(account_id, "operator", by=other.id)
    else:
        roles.disable(account_id, by=other.id)
    assert visitor.get(link).status_code == 404
    with pytest.raises(Rejected, match="no longer an admin"):
        wall_links.make("Paris", str(maker))
    roles.change(account_id, "admin", by=other.id)
    assert visitor.get(link).status_code == 404
    assert sorted(action for _, action, _ in actions()) == ["wall_link.made", "wall_link.revoked"]
