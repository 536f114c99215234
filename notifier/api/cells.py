"""`/cells/…`: what other cells ask of this one, signed with the key that all have."""

import contextvars
import json
from functools import partial
from typing import Any, NoReturn

from flask import Flask, Response, current_app, g, request
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Response as AnyResponse

from notifier.access.keys import KeyIdentity
from notifier.api import limits
from notifier.api.answers import answer
from notifier.api.auth import ON_BEHALF, Door, allow, caller, cell
from notifier.api.errors import problem
from notifier.cells import answering, brands, claims, homes, lists
from notifier.cells.client import AT_ONCE, Answer
from notifier.core.cells import HEADER, NAME, Call, NotSigned, digest_of, seal, verify
from notifier.core.errors import Rejected
from notifier.ground.clock import now
from notifier.ground.config import current_settings
from notifier.ground.extensions import db
from notifier.ground.ids import parse
from notifier.models.types import STORED_USER_ID
from notifier.people import upload_reading, uploads
from notifier.people.uploads import Rights
from notifier.words.brands import INSTALLATION_NAME, set_brand

_MOST_PEOPLE = 2_000
_LONGEST = 64 * 1024 * 1024  # fifty calls of the largest size
_HEADERS = ("Idempotency-Replayed", "Erasure-Certificate", "Location")

bp = Door("api_cells", __name__, url_prefix="/cells", enable_openapi=False)


@bp.post("/calls")
@cell
def carry_out_calls() -> Response:
    """What producers have asked another cell for, of people who live here

    For the other cells of the installation, which sign the call (docs/cells.md). Each call is carried out once.
    """
    region, body = _heard()
    try:
        calls = [Call.unpack(one) for one in body["calls"]]
        if not 1 <= len(calls) <= AT_ONCE:
            raise ValueError
    except (KeyError, TypeError, ValueError):
        raise Rejected("malformed_json", "these are no calls of a cell") from None
    answers = answering.answer_each(region, calls, partial(_carry_out_for, region))
    return _sealed({"answers": [_shown(one, is_brief=body.get("is_brief") is True) for one in answers]})


@bp.post("/people")
@cell
def say_who_lives_here() -> Response:
    """Which of these people live here, and which of others another cell is creating

    For the other cells of the installation, which sign the call (docs/cells.md).
    """
    sender, body = _heard()
    ids, wanted = body.get("ids"), body.get("claims", {})
    if not isinstance(ids, list) or not isinstance(wanted, dict) or len(ids) + len(wanted) > _MOST_PEOPLE:
        raise Rejected("malformed_json", "these are no ids of people")
    regions = all(isinstance(region, str) and NAME.match(region) for region in wanted.values())
    if not regions or not all(isinstance(one, str) and len(one) <= STORED_USER_ID for one in (*ids, *wanted)):
        raise Rejected("malformed_json", "these are no ids of people")
    return _sealed({"ids": homes.living_here(ids), "claimed": claims.keep(wanted, sender)})


@bp.post("/uploads")
@allow("broadcast")
def add_rows() -> Response:
    """Rows of an upload that another cell has taken in

    For the other cells of the installation, as one of the calls that they pass on.
    """
    _require_cell()
    who, body = caller(), request.get_json()
    if not isinstance(body, dict) or not isinstance(body.get("rows"), list):
        raise Rejected("malformed_json", "these are no rows of an upload")
    rights = Rights(who.producer_id, who.is_test, who.may_change_people, who.may_change_staff, who.label)
    upload_reading.add(parse(uploads.KIND, str(body.get("upload"))), lists.unpack(body["rows"]), rights)
    return answer({})


@bp.put("/brands")
@allow("admin")
def take_brand() -> Response:
    """The brand that the console of another cell has stored

    For the other cells of the installation, as one of the calls that they pass on.
    """
    _require_cell()
    brand, is_of_producer = brands.unpack(request.get_json())
    producer = (caller().producer_id, g.key.producer) if is_of_producer else (None, INSTALLATION_NAME)
    set_brand(producer[0], brand, subject=producer[1])
    return answer({})


def _require_cell() -> None:
    """Raises Rejected for what a producer has called itself: only what another cell has passed on is carried out."""
    if limits.CELL_CALL not in request.environ:
        raise Rejected("not_found", "this is for other cells alone")


def _shown(one: Answer, *, is_brief: bool) -> dict[str, Any]:
    body = None if is_brief and one.status < 400 else one.body
    return {"status": one.status, "body": body, "headers": dict(one.headers)}


def _carry_out_for(region: str, call: Call) -> Answer:
    try:
        return carry_out(call, answering.identity(region, call.behalf), is_of_cell=True)
    except Rejected as refused:
        said = problem(refused.code, refused.detail)
        return Answer(said["status"], said, {})


def carry_out(call: Call, identity: KeyIdentity, *, is_of_cell: bool = False) -> Answer:
    """As if the producer itself had called this cell's API. `is_of_cell`: another one has passed it on."""
    given = (
        ("Idempotency-Key", call.idempotency_key),
        ("X-Request-Id", call.request_id),
        ("traceparent", call.traceparent),
    )
    builder = EnvironBuilder(
        base_url=current_settings().public_url,
        path=call.path,
        method=call.method,
        data=None if call.body is None else _written(call.body),
        content_type="application/json",
        headers=[(name, value) for name, value in given if value],
        environ_overrides={
            ON_BEHALF: identity,
            "REMOTE_ADDR": request.remote_addr or "",
            **({limits.CELL_CALL: call.id} if is_of_cell else {}),
        },
    )
    db.session.rollback()  # no transaction stays open meanwhile
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    # Of a context of its own: Flask would share `g` with a request inside another
    return contextvars.Context().run(_answer_of, app, builder.get_environ())


def _written(body: Any) -> bytes:
    """No longer than it came, or a body that was just small enough would be too large now."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:  # half a surrogate pair: the view says so
        return json.dumps(body).encode()


def _answer_of(app: Flask, environ: dict[str, Any]) -> Answer:
    response = AnyResponse.from_app(app.wsgi_app, environ, buffered=True)
    data = response.get_data()
    try:
        body = json.loads(data) if data else None
    except ValueError:
        body = None
    headers = {name: response.headers[name] for name in _HEADERS if name in response.headers}
    return Answer(response.status_code, body, headers)


def _heard() -> tuple[str, dict[str, Any]]:
    """→ which cell is asking, and what. Raises Rejected for whoever has not the key."""
    cells = current_settings().region
    if cells is None or not cells.keys:
        raise Rejected("not_found", "this installation has no cells")
    try:
        sender, digest = verify(
            request.headers.get(HEADER, ""),
            receiver=cells.name,
            known=cells.others,
            at=now().timestamp(),
            keys=cells.keys,
        )
    except NotSigned as error:
        _refuse(str(error))
    request.max_content_length = _LONGEST  # it is read of cells alone
    data = request.get_data()
    if digest_of(data) != digest:
        _refuse("the body is not the one that was signed")
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise Rejected("malformed_json", "the body is not what cells send")
    return sender, body


def _sealed(body: dict[str, Any]) -> Response:
    cells = current_settings().region
    assert cells is not None, "somebody was heard"
    response = answer(body)
    response.headers[HEADER] = seal(response.get_data(), asked=request.headers[HEADER], key=cells.keys[0])
    return response


def _refuse(detail: str) -> NoReturn:
    limits.charge_guess()
    raise Rejected("unverified", detail)
