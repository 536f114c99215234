"""What is rising, from the counts that `pipeline.upkeep.trends` keeps."""

from datetime import datetime, timedelta

import sqlalchemy as sa

from notifier.core.trends import Change
from notifier.ground.clock import now
from notifier.ground.extensions import db
from notifier.ground.replica import may_lag
from notifier.models import Trend
from notifier.queries.tallies import WINDOWS, Window

# Seconds that a row counts → the window that is put together of such
GRAINS = {600: WINDOWS["hour"].span, 3600: WINDOWS["day"].span, 86_400: WINDOWS["month"].span}


@may_lag
def changes(window: Window) -> list[Change]:
    """Everything that happened in the window, and in the one before it. The step that has only begun counts as a whole
    one. One query.
    """
    grain = next(grain for grain, span in GRAINS.items() if span == window.span)
    end = begin_of(now(), grain) + timedelta(seconds=grain)
    is_now = Trend.at >= end - window.span
    counted = sa.select(
        Trend.kind,
        Trend.name,
        Trend.event,
        sa.func.sum(sa.case((is_now, Trend.count), else_=0)).label("now"),
        sa.func.sum(sa.case((is_now, 0), else_=Trend.count)).label("before"),
    ).where(Trend.grain == grain, Trend.at >= end - 2 * window.span)
    rows = db.session.execute(counted.group_by(Trend.kind, Trend.name, Trend.event))
    return [Change(row.kind, row.name, row.event, int(row.now), int(row.before)) for row in rows]


def begin_of(at: datetime, grain: int) -> datetime:
    return datetime.fromtimestamp(int(at.timestamp()) // grain * grain, tz=at.tzinfo)
