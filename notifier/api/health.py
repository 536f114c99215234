"""`/healthz`, `/readyz` and `/metrics`, for load balancers, people and Prometheus."""

import redis
from flask import Response, request
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from notifier.api import limits, metrics
from notifier.api.answers import also, answer
from notifier.api.auth import Door, public
from notifier.api.schemas.base import HealthOut, ReadinessOut
from notifier.core.errors import Rejected
from notifier.ground.config import FORWARDED_HEADER, INSTALLATION_HEADER, current_settings
from notifier.ground.database import UNAVAILABLE_RETRY_S
from notifier.ground.extensions import db, redis_store
from notifier.ground.metrics import CONTENT_TYPE, shows
from notifier.queries import writable
from notifier.signals import liveness

bp = Door("api_health", __name__, tag="Health")


@bp.get("/healthz")
@public
@bp.output(HealthOut)
def healthz() -> Response:
    """200 while the process lives"""
    named = [part for part in request.headers.get("X-Forwarded-For", "").split(",") if part.strip()]
    marks = {INSTALLATION_HEADER: current_settings().installation, FORWARDED_HEADER: str(len(named))}
    return answer({"status": "ok"}, headers=marks)


@bp.get("/readyz")
@public
@bp.output(ReadinessOut)
@also(503, ReadinessOut, "The database cannot be reached, or nothing can be written to it")
def readyz() -> Response:
    """Whether requests can be served

    `degraded` when Redis, all workers or all schedulers are down: requests are still accepted, and carried out when
    they are back. 503 when the database is down (`unavailable`), or full or read-only (`not_writable`).
    """
    database = _ask_database()
    body = {"status": "ok", "database": database, **_ask_redis()}
    if database != "ok":
        return answer(body | {"status": "unavailable"}, 503, {"Retry-After": str(UNAVAILABLE_RETRY_S)})
    if body["redis"] != "ok" or not body["workers"] or not body["schedulers"]:
        body["status"] = "degraded"
    return answer(body)


@bp.get("/metrics")
@public
@bp.output({}, content_type="text/plain")
def show_metrics() -> Response:
    """Prometheus metrics of this process, and of the installation

    With the setting `METRICS_TOKEN`, for those who send it as `Authorization: Bearer <token>`.
    """
    token = current_settings().metrics_token
    if token and not shows(token, request.headers.get("Authorization")):
        limits.charge_guess()
        raise Rejected("unauthenticated", "send METRICS_TOKEN as 'Authorization: Bearer <token>'")
    return Response(metrics.exposition(), content_type=CONTENT_TYPE)


def _ask_database() -> str:
    try:
        db.session.execute(text("SELECT 1"))
        return "ok" if writable.is_writable() else "not_writable"
    except SQLAlchemyError:
        db.session.rollback()
        return "unavailable"


def _ask_redis() -> dict[str, str | int]:
    try:
        return {
            "redis": "ok",
            "workers": liveness.count_workers(redis_store.client),
            "schedulers": liveness.count_schedulers(redis_store.client),
        }
    except redis.RedisError:
        return {"redis": "unavailable", "workers": 0, "schedulers": 0}
