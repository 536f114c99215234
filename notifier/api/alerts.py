"""The door for Alertmanager: what it says goes to every admin, by each one's own preferences."""

import hashlib
from collections.abc import Sequence

from flask import Response

from notifier.api import auth, limits
from notifier.api.answers import answer
from notifier.api.auth import Door, allow
from notifier.api.schemas.alerts import AlertIn, AlertsIn, AlertsOut
from notifier.core.submission import InlineRecipient, Submission
from notifier.ground.config import current_settings
from notifier.ground.extensions import db
from notifier.pipeline.intake import own

TYPE = "monitoring_alert"
_FIRING, _CRITICAL = "firing", "critical"
_LONGEST_NAME, _LONGEST_TEXT, _LONGEST_WORD = 150, 1_000, 64

bp = Door("api_alerts", __name__, url_prefix="/api/v1/alerts", tag="Alerts")


@bp.post("")
@allow("alerts")
@bp.input(AlertsIn)
@bp.output(AlertsOut, 202)
def take_alerts(json_data: AlertsIn) -> Response:
    """Tell every admin of alerts

    For the webhook of Prometheus' Alertmanager. Admins hear of a group of alerts as `monitoring_alert`, by their own
    preferences; one with the label `severity="critical"` is urgent. What is said of the same group later takes the
    place of what nobody has read yet.
    """
    auth.refuse_test_keys("a test key has no admins to tell")
    limits.charge_alert()
    db.session.close()  # no connection is held while others have their turn
    own.submit(_submission(json_data))
    return answer({"status": "accepted"}, 202)


def _submission(told: AlertsIn) -> Submission:
    """Of those that fire, if any does, else of those that are over; the first speaks for all."""
    alerts = [alert for alert in told.alerts if alert.status == told.status] or told.alerts
    first = alerts[0]
    summary = first.annotations.get("summary") or _name(first)
    data = {
        "summary": summary[:_LONGEST_NAME],
        "description": first.annotations.get("description", "")[:_LONGEST_TEXT],
        "alert": _name(first),
        "state": told.status,
        "count": len(alerts),
        "url": _page(first),
        **({"since": first.startsAt} if first.startsAt else {}),
    }
    group = hashlib.sha256((told.groupKey or _name(first)).encode()).hexdigest()[:32]
    return Submission(
        TYPE, (InlineRecipient("admins"),), data, priority=_priority(told.status, alerts), collapse_key=f"alert:{group}"
    )


def _priority(status: str, alerts: Sequence[AlertIn]) -> str:
    if status != _FIRING:
        return "medium"
    return "urgent" if any(alert.labels.get("severity") == _CRITICAL for alert in alerts) else "high"


def _name(alert: AlertIn) -> str:
    return (alert.labels.get("alertname") or "alert")[:_LONGEST_WORD]


def _page(alert: AlertIn) -> str:
    """Where it is looked after: the page of the console that the annotation `page` names, `admin/queues`."""
    named = [segment for segment in alert.annotations.get("page", "").split("/") if segment]
    is_ours = named[:1] == ["admin"] and not {".", ".."} & set(named)
    return current_settings().link(*(named if is_ours else ["admin", ""]))
