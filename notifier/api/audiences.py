"""Audiences of broadcasts: how many people one means, and how many of them can be reached."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from flask import Response, g

from notifier.api.answers import answer
from notifier.api.auth import Door, allow
from notifier.api.notifications import sight
from notifier.api.schemas.audiences import PreviewIn, PreviewOut
from notifier.core import audience as audiences_in
from notifier.core.errors import Rejected
from notifier.ground.clock import now
from notifier.ground.extensions import db
from notifier.people import audiences

bp = Door("api_audiences", __name__, url_prefix="/api/v1/audiences", tag="Broadcasts")

# A survey may look at a million people: those of one process take turns, and leave connections for all other calls.
_SURVEYING = threading.Lock()
_LONGEST_WAIT_S = 20.0  # for a turn


@contextmanager
def turn_to_survey() -> Iterator[None]:
    """Nobody else of this process surveys people inside it; 503 `unavailable` when others take too long."""
    if not _SURVEYING.acquire(timeout=_LONGEST_WAIT_S):
        raise Rejected("unavailable", "other previews are still counting; try again", retry_after=5)
    try:
        yield
    finally:
        _SURVEYING.release()


@bp.post("/preview")
@allow("broadcast")
@bp.input(PreviewIn)
@bp.output(PreviewOut)
def preview_audience(json_data: PreviewIn) -> Response:
    """How many people an audience means

    And how many of them each channel would reach now. Nothing is stored or sent. The more people there are, the longer
    it takes: some seconds with 200,000.
    """
    asked = audiences_in.parse(json_data.audience)
    audiences.check(asked, producer_id=sight().producer_id, is_test=g.key.is_test)
    db.session.close()  # no connection is held while others have their turn
    with turn_to_survey():
        found = audiences.survey(audiences.People(asked, g.key.is_test, now()))
    return answer({"people": found.people, "reachable": found.reachable, "sample": found.sample})
