"""Audiences of broadcasts: how many people one means, and how many of them can be reached."""

from flask import Response, g

from notifier.api.answers import answer
from notifier.api.auth import Door, allow
from notifier.api.notifications import sight
from notifier.api.schemas.audiences import PreviewIn, PreviewOut
from notifier.core import audience as audiences_in
from notifier.ground.clock import now
from notifier.ground.extensions import db
from notifier.people import audiences

bp = Door("api_audiences", __name__, url_prefix="/api/v1/audiences", tag="Broadcasts")


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
    with audiences.turn_to_survey():
        found = audiences.survey(audiences.People(asked, g.key.is_test, now()))
    return answer({"people": found.people, "reachable": found.reachable, "sample": found.sample})
