"""What deciding costs in CPU time: the rules alone, and learning what they have to know of people.
All in this process.
"""

import contextlib
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from flask import current_app

from bench.sample import CROWD, PEOPLE
from notifier.core.facts import AddressFacts, ChannelFacts, Facts, TypeFacts
from notifier.core.plan import plan
from notifier.core.preferences import from_document
from notifier.ground.clock import now
from notifier.ground.config import current_settings
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.models import Preference
from notifier.people.person import load_people, recall_people

USERS = 1_000
BATCH = 12  # as busy single requests gather
CHOICES = {
    "channels": {"sms": True},
    "categories": {"marketing": {"email": False}, "social": {"push": False}},
    "types": {"like": {"email": False}, "newsletter": {"email": True}},
    "quiet_hours": {"start": "22:00", "end": "07:00", "days": [1, 2, 3, 4, 5, 6, 7]},
}
_ROUNDS = 5  # the best one counts: the others were disturbed


def rules() -> dict[str, float]:
    """The decisions for a thousand people on four channels each."""
    names = ("inapp", "email", "push", "sms")
    channels = {
        name: ChannelFacts(
            name, needs_address=name != names[0], waits_when_quiet=name != names[0], every_address=name == "push"
        )
        for name in names
    }
    kind = TypeFacts("comment", "social", "medium", names)
    chosen = from_document({**CHOICES, "categories": {}})
    addresses = tuple(AddressFacts(number, name, "…", is_primary=True) for number, name in enumerate(names[1:]))
    everybody = [
        Facts(kind, kind.priority, ZoneInfo("Europe/Berlin"), chosen, addresses, channels, user_id=f"{PEOPLE}{n}")
        for n in range(USERS)
    ]
    at = now()

    def decide() -> None:
        for facts in everybody:
            plan(facts, at)

    spent = _cpu_s(decide)
    return {
        "users/s": round(USERS / spent, 1),
        "cpu_ms": round(spent * 1e3, 1),
        "cpu_us": round(spent / USERS * 1e6, 1),
    }


def knowledge(size: int) -> dict[str, float]:
    """What planning a batch has to know of `size` people: `cpu_us` of each from Redis, and as a multiple of that from
    the database.
    """
    with transaction() as session:
        session.execute(sa.update(Preference).where(Preference.user_id.startswith(PEOPLE)).values(document=CHOICES))
    batches = [
        [f"{PEOPLE}{(start + n) % CROWD}" for n in range(size)] for start in range(0, max(size, 20 * BATCH), size)
    ]
    operations = size * len(batches)
    queried = _cpu_s(lambda: _each(batches, load_people)) / operations
    with _cache_on():
        _each(batches, recall_people)  # fills it
        recalled = _cpu_s(lambda: _each(batches, recall_people)) / operations
    return {
        "people/s": round(1 / recalled, 1),
        "cpu_us": round(recalled * 1e6, 1),
        "queried_us": round(queried * 1e6, 1),
        "times": round(queried / recalled, 2),
    }


@contextlib.contextmanager
def _cache_on() -> Iterator[None]:
    """Whatever is the default with this database."""
    settings = current_settings()
    current_app.extensions["settings"] = replace(settings, preference_cache=True)
    yield
    current_app.extensions["settings"] = settings


def _each(batches: Collection[list[str]], load: Callable[[list[str]], object]) -> None:
    for batch in batches:
        load(batch)
        db.session.close()


def _cpu_s(work: Callable[[], None]) -> float:
    took = []
    for _ in range(_ROUNDS):
        begun = time.process_time()
        work()
        took.append(time.process_time() - begun)
    return min(took)
