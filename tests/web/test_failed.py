"""Failed jobs: seen, explained, and sent again."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from apiflask import APIFlask

from notifier.clock import now
from notifier.database import transaction
from notifier.extensions import db, redis_store
from notifier.ids import show
from notifier.models import Delivery
from notifier.queries.failed import PAGE_SIZE, failed_page
from notifier.queueing import failed_registry, queue
from tests.web.conftest import Visitor

Send = Callable[..., list[Any]]


@pytest.fixture
def operator(signed_in: Callable[..., Visitor]) -> Visitor:
    return signed_in("operator")


@pytest.fixture
def dead(send: Send) -> str:
    """The id of a delivery that its provider has refused for good."""
    [delivery] = send("zoe", email="rejected@sandbox.test", channels=("email",))
    assert delivery.status == "failed"
    return show("dlv", delivery.id)


def status() -> str:
    db.session.rollback()
    [delivery] = db.session.query(Delivery).all()
    return delivery.status


def expire() -> None:
    with transaction() as session:
        session.query(Delivery).update({"expires_at": now() - timedelta(seconds=1)})


def test_without_failures_it_says_so(operator: Visitor) -> None:
    assert "Nothing has failed" in operator.get("/admin/failed").text


def test_a_failed_job_is_listed_with_its_reason_and_a_masked_address(operator: Visitor, dead: str) -> None:
    page = operator.get("/admin/failed").text
    assert f"/admin/failed/{dead}" in page
    assert "the sandbox plays rejected" in page
    assert "rejected@sandbox.test" not in page
    assert "@sandbox.test" in page
    assert "email.high <span>1</span>" in page


def test_one_job_shows_its_attempts_and_its_trace(operator: Visitor, dead: str) -> None:
    page = operator.get(f"/admin/failed/{dead}").text
    assert "the sandbox plays rejected" in page
    assert "DeadLetter" in page


def test_retrying_queues_it_again_and_leads_back(operator: Visitor, dead: str) -> None:
    answer = operator.post("/admin/failed/retry", {"ids": dead, "back": "/admin/failed?queue=email.high"})
    assert (answer.status_code, answer.location) == (303, "/admin/failed?queue=email.high")
    assert status() == "queued"
    assert queue("email.high").job_ids == [dead]
    assert failed_registry("email.high").get_job_ids() == []
    assert "sent again now" in operator.get("/admin/failed").text


def test_it_leads_to_no_other_site(operator: Visitor, dead: str) -> None:
    assert operator.post("/admin/failed/retry", {"ids": dead, "back": "//evil.test"}).location == "/admin/failed"


def test_an_expired_one_is_left_alone(operator: Visitor, dead: str) -> None:
    expire()
    assert "expired" in operator.get("/admin/failed").text
    operator.post("/admin/failed/retry", {"ids": dead})
    assert status() == "failed"
    assert "left alone" in operator.get("/admin/failed").text


@pytest.mark.parametrize(("form", "words"), [({}, "Select at least one"), ({"ids": "nonsense"}, "no delivery")])
def test_a_retry_of_nothing_is_explained(operator: Visitor, form: dict[str, str], words: str) -> None:
    assert operator.post("/admin/failed/retry", form).status_code == 303
    assert words in operator.get("/admin/failed").text


def test_viewers_look_and_have_no_buttons(signed_in: Callable[..., Visitor], dead: str) -> None:
    viewer = signed_in("viewer")
    for path in ("/admin/failed", f"/admin/failed/{dead}"):
        page = viewer.get(path).text
        assert "the sandbox plays rejected" in page
        assert "Retry selected" not in page
        assert "Send again" not in page


def test_without_redis_the_database_says_what_failed(operator: Visitor, dead: str, redis_away: None) -> None:
    page = operator.get("/admin/failed").text
    assert "Redis cannot be reached" in page
    assert "the sandbox plays rejected" in page
    assert operator.get(f"/admin/failed/{dead}").status_code == 200
    assert operator.post("/admin/failed/retry", {"ids": dead}).status_code == 303
    assert status() == "queued"
    assert operator.get("/admin/").status_code == 200


def test_what_redis_has_forgotten_is_still_found(operator: Visitor, dead: str) -> None:
    redis_store.client.flushall()
    assert "Nothing has failed" in operator.get("/admin/failed").text
    assert "the sandbox plays rejected" in operator.get("/admin/failed?source=database").text


@pytest.mark.parametrize("query", ["page=0", "page=-5", "page=x", "page=999999", "queue=nope", "queue=email.low", "source=what"])
def test_odd_addresses_are_no_crash(operator: Visitor, dead: str, query: str) -> None:
    assert operator.get(f"/admin/failed?{query}").status_code == 200


@pytest.mark.parametrize("job_id", ["nonsense", "dlv_" + "0" * 32])
def test_an_unknown_job_is_not_found(operator: Visitor, job_id: str) -> None:
    assert operator.get(f"/admin/failed/{job_id}").status_code == 404


def test_a_job_about_nothing_we_know_is_listed_and_cannot_be_retried(operator: Visitor) -> None:
    redis_store.client.zadd(failed_registry("expand.low").key, {"sub_0": 2**33})
    page = operator.get("/admin/failed").text
    assert "sub_0" in page
    assert "disabled" in page


def test_pages_run_through_all_queues_without_gap_or_repeat(app: APIFlask) -> None:
    expected = {"email.urgent": 30, "email.high": PAGE_SIZE * 2, "sms.low": 7}
    for name, count in expected.items():
        redis_store.client.zadd(failed_registry(name).key, {f"{name.replace('.', '-')}-{n:03}": 2**33 + n for n in range(count)})
    total = sum(expected.values())
    pages = [failed_page(None, number) for number in range(1, 5)]
    assert [page.total for page in pages] == [total] * 4
    assert pages[0].last == -(-total // PAGE_SIZE)
    seen = [job.job_id for page in pages for job in page.jobs]
    assert len(seen) == len(set(seen)) == total
    assert (seen[0], seen[-1]) == ("email-urgent-029", "sms-low-000")
    assert [len(page.jobs) for page in pages] == [50, 50, 37, 0]


def test_a_page_far_beyond_the_last_is_empty(signed_in: Callable[..., Visitor]) -> None:
    for source in ("", "&source=database"):
        assert signed_in("viewer" if source else "operator").get(f"/admin/failed?page=99999999999999999999{source}").status_code == 200
