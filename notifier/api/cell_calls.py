"""The request at hand as a call to another cell, and its answer as a response."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from flask import Response, g, request

from notifier.api.answers import answer
from notifier.cells import client, neighbours
from notifier.cells.client import Answer, Away
from notifier.core.cells import Call, OnBehalf
from notifier.core.errors import Rejected
from notifier.core.people import parse_user_id
from notifier.ground.cells import Cells
from notifier.ground.extensions import db
from notifier.ground.ids import new_hex

_PATIENCE_S = 15.0


def call_of(body: Any, *, key: str | None = None) -> Call:
    query = f"?{request.query_string.decode('ascii', 'replace')}" if request.query_string else ""
    call_id = new_hex()
    return Call(
        id=call_id,
        method=request.method,
        path=quote(request.path, safe="/@:+~") + query,
        body=body,
        behalf=OnBehalf(
            g.key.producer,
            tuple(sorted(g.key.scopes)),
            None if g.key.types is None else tuple(sorted(g.key.types)),
            g.key.is_test,
            g.key.label,
        ),
        idempotency_key=key or (f"cell:{call_id}" if request.method == "POST" else None),
        request_id=g.request_id,
        traceparent=request.headers.get("traceparent"),
    )


def body_of_request() -> Any:
    return request.get_json() if request.get_data() else None


def ask(cells: Cells, region: str, call: Call) -> Answer:
    """The answer to a call that only makes sense at once. Raises Rejected('unavailable')."""
    try:
        neighbours.check(region)
        db.session.rollback()
        [answered] = client.ask(cells, region, [call], _PATIENCE_S)
    except neighbours.LeftAlone as error:
        raise Rejected("unavailable", str(error), retry_after=neighbours.RETRY_S) from None
    except client.TooLong:
        detail = f"the answer of the cell {region} is too long to be passed on: ask {cells.others[region]} for it"
        raise Rejected("unavailable", detail) from None
    except Away as error:
        neighbours.note_silence(region, str(error))
        raise Rejected("unavailable", f"the cell {region} gives no answer", retry_after=neighbours.RETRY_S) from None
    neighbours.note_answer(region)
    return answered


def shown(answered: Answer) -> Response:
    if answered.body is None:
        return Response(status=answered.status, headers=dict(answered.headers))
    response = answer(answered.body, answered.status, answered.headers)
    if answered.status >= 400:
        response.content_type = "application/problem+json"
    return response


def without_key(part: Any) -> Any:
    if not isinstance(part, Mapping):
        return part
    return {name: value for name, value in part.items() if name != "idempotency_key"}


def can_be_somebody(user_id: Any) -> bool:
    try:
        parse_user_id(user_id)
    except ValueError:
        return False
    return True
