"""Encrypting and digesting everything anew, by a program: begun once at a time, and looked at."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.encryption import vault
from notifier.ground.extensions import db
from notifier.models import AuditEntry, DigestKey, Reencryption
from notifier.operations import digest_keys, encryption_keys, reencryption
from tests.conftest import Api

PATH = "/api/v1/reencryption"


@pytest.fixture(autouse=True)
def _keys(app: APIFlask) -> Iterator[None]:
    encryption_keys.take_up()
    yield
    vault.use_digest_keys([vault.first_digest_key])


def test_a_program_has_everything_digested_with_a_new_key_and_sees_when_it_is_done(api: Api) -> None:
    before = api.get(PATH).json
    assert (before["run"], [key["number"] for key in before["digest_keys"]]) == (None, [1])
    begun = api.post(PATH, {"new_digest_key": True})
    assert (begun.status_code, begun.json["run"]["status"], begun.json["run"]["digest_key"]) == (202, "waiting", 2)
    again = api.post(PATH, {})
    assert (again.status_code, again.json["code"]) == (409, "conflict")
    with transaction() as session:
        session.execute(sa.update(DigestKey).values(stored_from=now()))
        session.execute(sa.update(Reencryption).values(wake_at=now()))
    digest_keys.take_up()
    db.session.rollback()
    assert api.get(PATH).json["run"]["status"] == "running"
    assert [(key["is_stored"], key["is_left"]) for key in api.get(PATH).json["digest_keys"]] == [
        (True, False),
        (False, True),
    ]
    while (run := reencryption.progress()) and not run.finished_at:
        reencryption.work()
        with transaction() as session:
            session.execute(sa.update(Reencryption).where(Reencryption.wake_at.is_not(None)).values(wake_at=now()))
    done = api.get(PATH).json
    assert (done["run"]["status"], done["run"]["percent"]) == ("finished", 100)
    assert [key["is_left"] for key in done["digest_keys"]] == [False, False]
    assert [key["encrypts"] for key in done["encryption_keys"]] == [True]
    made = db.session.scalars(sa.select(AuditEntry.actor).where(AuditEntry.action == "digest_key.added")).all()
    assert made == [done["run"].get("actor", made[0])]
