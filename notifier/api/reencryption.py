"""Encrypting and digesting everything anew: begun and looked at by a program, as on the console's page of keys."""

from typing import Any

from flask import Response

from notifier.api.answers import answer
from notifier.api.auth import Door, allow
from notifier.api.schemas.reencryption import ReencryptionIn, ReencryptionOut
from notifier.ground.shapes import timestamp
from notifier.operations import digest_keys, encryption_keys, reencryption

bp = Door("api_reencryption", __name__, url_prefix="/api/v1/reencryption", tag="Keys of the installation")


@bp.get("")
@allow("admin", is_live_only=True)
@bp.output(ReencryptionOut)
def get_reencryption() -> Response:
    """How far it is, and which keys may go"""
    return answer(_shown())


@bp.post("")
@allow("admin", is_live_only=True)
@bp.input(ReencryptionIn)
@bp.output(ReencryptionOut, 202)
def begin_reencryption(json_data: ReencryptionIn) -> Response:
    """Encrypt everything anew

    With the first of `ENCRYPTION_KEYS`, and with the newest digest key; by the schedulers, in the background. 409 while
    a run with the same keys is under way.
    """
    reencryption.begin(with_new_digest_key=json_data.new_digest_key)
    return answer(_shown(), 202)


def _shown() -> dict[str, Any]:
    run = reencryption.progress()
    return {
        "run": None
        if run is None
        else {
            "status": "finished" if run.finished_at else "waiting" if run.begins_at else "running",
            "encryption_key": run.target,
            "digest_key": run.digest_key,
            "round": run.round,
            "percent": run.percent,
            "rows": run.encrypted,
            "unreadable": dict(run.unreadable),
            "is_idle": run.is_idle,
            "started_at": timestamp(run.started_at),
            "finished_at": timestamp(run.finished_at) if run.finished_at else None,
        },
        "encryption_keys": [
            {
                "id": key.id,
                "is_given": key.is_given,
                "encrypts": key.encrypts,
                "may_be_taken_out": key.may_go,
                "unused_since": timestamp(key.unused_at) if key.unused_at else None,
            }
            for key in encryption_keys.listing()
        ],
        "digest_keys": [
            {
                "number": key.number,
                "is_stored": key.is_stored,
                "is_left": key.is_left,
                "since": timestamp(key.stored_from) if key.stored_from else None,
            }
            for key in digest_keys.listing()
        ],
    }
