"""How a long-running process gets its app: it waits for the database and its migrations, so processes may start in any
order.
"""

import gc
import time
from collections.abc import Callable
from functools import partial

import structlog
from flask import Flask

from notifier import channels
from notifier.ground import metrics, schema
from notifier.ground.config import Settings
from notifier.ground.database import UNAVAILABLE, follow_clock, look_now, look_often
from notifier.ground.encryption import vault
from notifier.ground.extensions import db
from notifier.ground.unknown_settings import unknown_settings
from notifier.operations import digest_keys

GARBAGE_THRESHOLDS = (50_000, 20, 50)
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 5.0

log = structlog.get_logger()


def wait_for_app(
    make_app: Callable[[], Flask],
    is_stopping: Callable[[], bool],
    meanwhile: Callable[[], None] = lambda: None,
) -> Flask | None:
    """The result of `make_app`, as soon as the database answers and is migrated; None when told to stop before that.

    `meanwhile` is called before each pause.

    A database migrated by a newer release is accepted: processes of the old release must be able to start while the new
    ones take over.
    """
    is_told = False
    pause_s = _FIRST_PAUSE_S
    while not is_stopping():
        try:
            app = make_app()
            if not is_told:
                _tell_unknown(app.extensions["settings"])
                is_told = True
            found = schema.look(str(app.config["SQLALCHEMY_DATABASE_URI"]))
            if found.standing not in (schema.Standing.EMPTY, schema.Standing.BEHIND):
                follow_clock(app)
                look_often(app, digest_keys.take_up)
                vault.before_digests(partial(look_now, app))
                _collect_garbage_less()
                return app
            log.warning(
                "database.not_migrated",
                stands_at=found.stands_at,
                wanted=found.wanted,
                remedy=found.fault[1],
                again_in_s=pause_s,
            )
        except (*UNAVAILABLE, schema.DatabaseAway) as error:
            log.warning("database.is_away", error=type(getattr(error, "orig", error)).__name__, again_in_s=pause_s)
        meanwhile()
        time.sleep(pause_s)
        pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
    return None


def exposition_of(app: Flask) -> Callable[[], bytes]:
    """The metrics of a process with an app."""
    with app.app_context():
        pool = metrics.Pool(db.engine)
    return lambda: metrics.exposition(pool)


def _tell_unknown(settings: Settings) -> None:
    of_providers = {setting.name for adapter in channels.ADAPTERS for setting in adapter.settings}
    for name, nearest in unknown_settings(settings.environment, of_providers).items():
        log.warning("settings.not_read", setting=name, **({"did_you_mean": nearest} if nearest else {}))


def _collect_garbage_less() -> None:
    """Batches make many objects that live for some milliseconds, and hardly any cycles; Python's own thresholds have
    the collector look at all of them again and again. A batch of a thousand is stored in 228 µs a person instead of
    310.
    """
    gc.freeze()  # what has been imported stays anyway
    gc.set_threshold(*GARBAGE_THRESHOLDS)
