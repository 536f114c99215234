"""What RQ still shows although the row says something else is settled as the row says."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask
from rq.utils import current_timestamp

from notifier.batchworker import worker
from notifier.core.submission import InlineRecipient
from notifier.ground.database import transaction
from notifier.ground.extensions import redis_store
from notifier.ground.ids import show
from notifier.models import Delivery
from notifier.people import upload_reading, uploads
from notifier.pipeline.upkeep import ghosts
from notifier.signals.queueing import EXPAND_QUEUE, queue
from tests.stored import deliveries

Submit = Callable[..., Any]
QUEUE = "email.high"


def taken(submit: Submit, *, status: str, silent_s: float = 60.0) -> str:
    """A job that a worker took so long ago; its row says `status`. → its id."""
    submit(InlineRecipient("erin", {"email": "erin@x.test"}), channels=("email",))
    row = deliveries()[-1]
    job_id = show("dlv", row.id)
    redis_store.client.lrem(queue(QUEUE).key, 1, job_id)
    redis_store.client.zadd(f"rq:wip:{QUEUE}", {f"{job_id}:execution": current_timestamp() + worker.LEASE_S - silent_s})
    with transaction() as session:
        session.execute(sa.update(Delivery).where(Delivery.id == row.id).values(status=status))
    return job_id


def shown(job_id: str) -> dict[str, bool]:
    client = redis_store.client
    return {
        "started": client.zscore(f"rq:wip:{QUEUE}", f"{job_id}:execution") is not None,
        "failed": client.zscore(f"rq:failed:{QUEUE}", job_id) is not None,
        "queued": job_id in queue(QUEUE).job_ids,
        "job": client.exists(f"rq:job:{job_id}") == 1,
    }


def test_an_upload_that_is_still_to_be_read_keeps_its_job_and_a_finished_one_does_not(app: APIFlask) -> None:
    rights = uploads.Rights(None, is_test=False, may_change_people=True, may_change_staff=False, actor="Shop")
    ids = [uploads.receive([b"id\nu1\n"], rights) for _ in range(2)]
    upload_reading.read(ids[0])
    jobs = [show("upl", upload_id) for upload_id in ids]
    registry = f"rq:wip:{EXPAND_QUEUE}"
    silent = current_timestamp() + worker.LEASE_S - 60.0
    redis_store.client.zadd(registry, {f"{job_id}:execution": silent for job_id in jobs})
    ghosts.lay_started()
    left = [redis_store.client.zscore(registry, f"{job_id}:execution") is not None for job_id in jobs]
    assert left == [False, True]


@pytest.mark.parametrize(
    ("status", "what_is_left"),
    [
        ("sent", set()),
        ("delivered", set()),
        ("expired", set()),
        ("failed", {"failed", "job"}),
        ("unknown", {"failed", "job"}),
        ("queued", {"queued", "job"}),
        ("waiting", {"job"}),
        ("sending", {"started", "job"}),
    ],
)
def test_what_a_dead_worker_left_is_settled_as_its_row_says(
    app: APIFlask, submit: Submit, status: str, what_is_left: set[str]
) -> None:
    job_id = taken(submit, status=status)
    ghosts.Ghosts().lay()
    assert {name for name, is_there in shown(job_id).items() if is_there} == what_is_left


def test_what_a_worker_has_spoken_for_lately_is_left_alone(app: APIFlask, submit: Submit) -> None:
    job_id = taken(submit, status="sent", silent_s=ghosts.SILENT_S - 10)
    assert ghosts.Ghosts().lay() == 0
    assert shown(job_id)["started"]


def test_a_job_whose_row_has_gone_goes_too(app: APIFlask, submit: Submit) -> None:
    job_id = taken(submit, status="queued")
    with transaction() as session:
        session.execute(sa.delete(Delivery))
    ghosts.Ghosts().lay()
    assert not any(shown(job_id).values())


def test_jobs_of_others_are_left_alone(app: APIFlask) -> None:
    redis_store.client.zadd(f"rq:wip:{QUEUE}", {"somebody-elses:execution": 1})
    redis_store.client.zadd(f"rq:failed:{QUEUE}", {"somebody-elses": 1})
    assert ghosts.Ghosts().lay() == 0
    assert redis_store.client.zcard(f"rq:wip:{QUEUE}") == redis_store.client.zcard(f"rq:failed:{QUEUE}") == 1


@pytest.mark.parametrize(
    ("status", "what_is_left"), [("failed", {"failed", "job"}), ("sent", set()), ("queued", {"job"})]
)
def test_a_dead_letter_stands_among_the_failed_and_nothing_else_does(
    app: APIFlask, submit: Submit, status: str, what_is_left: set[str]
) -> None:
    job_id = taken(submit, status="failed")
    ghosts.Ghosts().lay()
    with transaction() as session:
        session.execute(sa.update(Delivery).values(status=status))
    ghosts.Ghosts().lay()
    assert {name for name, is_there in shown(job_id).items() if is_there} == what_is_left


def test_long_registries_are_read_a_page_at_a_time(
    app: APIFlask, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ghosts, "PAGE_STARTED", 2)
    monkeypatch.setattr(ghosts, "PAGE_FAILED", 2)
    ids = [taken(submit, status="failed") for _ in range(5)]
    for _ in range(3):
        ghosts.lay_started()
    assert redis_store.client.zcard(f"rq:failed:{QUEUE}") == len(ids)
    with transaction() as session:
        rows = deliveries()
        session.execute(sa.update(Delivery).where(Delivery.id.in_([row.id for row in rows[1:]])).values(status="sent"))
    hunt = ghosts.Ghosts()
    assert [hunt.lay() for _ in range(4)] == [1, 2, 1, 0]
    assert redis_store.client.zrange(f"rq:failed:{QUEUE}", 0, -1) == [ids[0].encode()]
