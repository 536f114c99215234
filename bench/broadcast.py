"""A broadcast's expansion: how fast one worker makes the notifications of a whole audience on two channels."""

from collections.abc import Iterator

from bench import rows
from bench.sample import DATA, TYPE
from bench.stage import Found, Stage
from notifier.access import keys
from notifier.core.submission import Submission
from notifier.ground.extensions import db
from notifier.ground.ids import new_id
from notifier.models import Submission as SubmissionRow
from notifier.models.producer import SCOPES
from notifier.pipeline.intake import broadcasts
from notifier.pipeline.intake.item import Caller
from notifier.signals.queueing import EXPAND_QUEUE

_AT_ONCE = 10_000  # people named in one audience


def expansion(stage: Stage) -> Found:
    """In-app and e-mail, as the calls of `bulks` make them: to people who were made for it."""
    prefix, count = f"audience{new_id().hex[-8:]}", stage.some(25_000)
    rows.add_people(prefix, count)
    producer = keys.create_producer("bench broadcast")
    caller = Caller.of_key(producer.id, SCOPES, None, is_test=False, request_id="bench", label="bench")
    said = Submission(TYPE, (), DATA, channels=("inapp", "email"), dedupe=False)
    stage.installation.clear_queues()
    made = [
        broadcasts.create(caller, broadcasts.Draft("bench", said, {"users": user_ids})).broadcast_id
        for user_ids in _audiences(prefix, count)
    ]
    answer = stage.installation.start("bench.worker", "ours", EXPAND_QUEUE).answer()
    expanded = sum(db.session.get_one(SubmissionRow, key, populate_existing=True).expanded for key in made)
    db.session.rollback()
    stage.installation.clear_queues()
    if expanded != count:
        raise RuntimeError(f"of {count} people {expanded} were notified")
    return {
        "people/s": round(count / answer["seconds"], 1),
        "cpu_us": round(answer["cpu_s"] / count * 1e6, 1),
        "peak_mb": answer["peak_mb"],
    }


def _audiences(prefix: str, count: int) -> Iterator[list[str]]:
    user_ids = [f"{prefix}{number}" for number in range(count)]
    for start in range(0, count, _AT_ONCE):
        yield user_ids[start : start + _AT_ONCE]
