"""Writing a broadcast: the form with a live count of its audience, a test to oneself, a last look, and the start.

For admins. Nothing is stored before the start: every page carries the whole form on. The last look also makes the
idempotency key, so however often its button is pressed, one broadcast starts.
"""

import hashlib
import json
import re
from dataclasses import replace
from typing import Any
from uuid import uuid4

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from notifier.channels import CHANNELS
from notifier.core import audience as audiences_in
from notifier.core.errors import Fault, Rejected
from notifier.core.submission import InlineRecipient
from notifier.ground.clock import now
from notifier.ground.extensions import db
from notifier.ground.ids import parse, show
from notifier.people import audiences
from notifier.people.person import load_people
from notifier.pipeline.intake import broadcasts, idempotency_keys
from notifier.pipeline.intake.accept import accept_one
from notifier.pipeline.intake.item import Caller, Item
from notifier.queries import producers, types, uploads
from notifier.web.access import allow, page_blueprint
from notifier.web.console.acting import on_behalf_of
from notifier.web.console.broadcast_form import BroadcastForm
from notifier.web.console.data_fields import DataFields
from notifier.web.forms import said

pages = page_blueprint("broadcast_compose", url_prefix="/admin/broadcasts")

MUST_BE_TYPED = 10_000  # above so many people the number has to be typed
_STOP_AT = 20  # percent; what a new form suggests
_LISTS_OFFERED = 50
_NOT_CARRIED = frozenset({"csrf_token", "step", "typed", "key", "people"})
_UNCOUNTED: dict[str, Any] = {"survey": None, "uncounted": None}
_BUSY = (idempotency_keys.IN_PROGRESS, "unavailable")
_KEY = re.compile(r"[0-9a-f]{32}")


@pages.get("/new")
@allow("admin")
def new() -> ResponseReturnValue:
    given = {name: request.args.get(name, "") for name in ("type", "producer", "upload")}
    to = {"to": "upload"} if given["upload"] else {}
    form = BroadcastForm(formdata=None, data={**given, **to, "stop_at_failures": _STOP_AT})
    return _page(_prepared(form))


@pages.post("/new")
@allow("admin")
def look() -> ResponseReturnValue:
    """The form again, to be changed; or the last look at what was written."""
    form = _prepared(BroadcastForm())
    if request.form.get("step") == "edit":
        return _page(form)
    return _last_look(form)


def _last_look(form: BroadcastForm) -> ResponseReturnValue:
    try:
        form.check()
        caller, draft = _caller(form), form.draft()
        db.session.close()  # no connection is held while others have their turn
        with audiences.turn_to_survey():
            people = broadcasts.check(caller, draft)
    except Rejected as error:
        return _page(form.refuse(error)), 422
    return _look(form, people, uuid4().hex)


def _look(form: BroadcastForm, people: int, key: str, fault: str | None = None) -> ResponseReturnValue:
    page = render_template(
        "admin/broadcast_look.html",
        form=form,
        producer=form.words_of("producer"),
        data=form.values.document(),
        people=people,
        key=key,
        fault=fault,
        must_be_typed=people > MUST_BE_TYPED,
        to=_to(form),
        carried=_carried(),
    )
    return page, 422 if fault else 200


@pages.post("")
@allow("admin")
def start() -> ResponseReturnValue:
    form, key = _prepared(BroadcastForm()), request.form.get("key", "")
    seen = request.form.get("people", "")
    if not (_KEY.fullmatch(key) and seen.isdecimal() and len(seen) < 12):
        return _last_look(form)
    people, form.is_start = int(seen), True
    try:
        form.check()
        caller, draft = _caller(form), form.draft(most=people + max(10, people // 10))
        if people > MUST_BE_TYPED and re.sub(r"[\s.,'’_]", "", request.form.get("typed", "")) != seen:
            return _look(form, people, key, f"Type {people:,}, the number of people, to start it.")
        db.session.close()  # as above
        with audiences.turn_to_survey():
            made = broadcasts.create(caller, draft, (f"console-{key}", _digest()))
    except Rejected as error:
        if error.code in _BUSY:
            # With another key there could be two of it
            return _look(
                form, people, key, "It may be starting right now. Wait a moment, and try again: it starts once."
            )
        if any(fault.code == "audience_has_grown" for fault in error.faults):
            flash("The audience has grown since you looked. Look again.", "warning")
            return _last_look(form)
        return _page(form.refuse(error)), 422
    flash("It had been started already." if made.is_replay else "The broadcast has been created.")
    return redirect(url_for("broadcasts.one", broadcast_id=show(broadcasts.KIND, made.broadcast_id)), 303)


@pages.post("/count")
@allow("admin")
def count() -> ResponseReturnValue:
    """How many people the audience of the form means, and how many of them can be reached."""
    form = _prepared(BroadcastForm())
    if request.headers.get("X-Partial"):
        return render_template("admin/broadcast_count.html", **_counted(form))
    return _page(form, _counted(form))


def _counted(form: BroadcastForm) -> dict[str, Any]:
    try:
        asked = audiences_in.parse(form.audience())
        audiences.check(asked, producer_id=None, is_test=False)
        db.session.close()  # no connection is held while others have their turn
        with audiences.turn_to_survey():
            survey = audiences.survey(audiences.People(asked, False, now()))
    except Rejected as error:
        return {**_UNCOUNTED, "uncounted": said(error.faults[0].message if error.faults else error.detail)}
    reachable = {name: number for name, number in survey.reachable.items() if name in form.takes}
    return {**_UNCOUNTED, "survey": replace(survey, reachable=reachable)}


@pages.post("/test")
@allow("admin")
def test() -> ResponseReturnValue:
    """The message to the author alone, by the way that all messages go, with all that may keep it from being sent."""
    form = _prepared(BroadcastForm())
    try:
        form.check()
        notification = _send_to(current_user.user_id, form)
    except Rejected as error:
        return _page(form.refuse(error)), 422
    return _page(form, tested=notification)


def _send_to(user_id: str, form: BroadcastForm) -> str:
    """→ the shown id of the notification. Raises Rejected."""
    submission = replace(form.said(), recipients=(InlineRecipient(user_id),), dedupe=False)
    return str(accept_one(Item(_caller(form), submission)).answer["notifications"][0]["id"])


def _prepared(form: BroadcastForm) -> BroadcastForm:
    """With what may be chosen, and the fields for the data of the chosen type."""
    names, for_audiences = types.names(), set(types.keys_for_audiences())
    form.offer(
        producers=[
            (line.producer.shown_id, line.producer.name)
            for line in producers.lines()
            if line.producer.disabled_at is None
        ],
        types=[(key, name) for key, name in names.items() if key in for_audiences],
        uploads=[(one.id, one.words) for one in uploads.finished(_LISTS_OFFERED)],
        zone=_own_zone(),
    )
    known = form.type.data in {choice.value for choice in form.type.choices}
    chosen = types.one_type(form.type.data) if known else {"schema": {}, "channels": CHANNELS}
    form.values = DataFields(chosen["schema"], request.form if form.is_submitted() else None)
    form.takes = frozenset(form.channels.data or chosen["channels"])
    return form


def _own_zone() -> str:
    person = load_people([current_user.user_id]).get(current_user.user_id)
    return str(person.zone) if person else "UTC"


def _page(form: BroadcastForm, counted: dict[str, Any] | None = None, tested: str | None = None) -> str:
    """`tested`: the notification that was sent to the author."""
    return render_template("admin/broadcast_new.html", form=form, tested=tested, **(counted or _UNCOUNTED))


def _caller(form: BroadcastForm) -> Caller:
    if form.producer.data not in {choice.value for choice in form.producer.choices}:
        fault = Fault("/producer", "unknown_producer", "choose a producer")
        raise Rejected("validation_failed", fault.message, (fault,))
    return on_behalf_of(parse("prd", form.producer.data))


def _to(form: BroadcastForm) -> dict[str, Any]:
    """The audience as the pages of broadcasts show it."""
    audience = form.audience()
    return {"users": len(audience["users"])} if "users" in audience else audience


def _carried() -> list[tuple[str, str]]:
    """The form as it was sent, to be sent once more."""
    return [(name, value) for name, values in request.form.lists() if name not in _NOT_CARRIED for value in values]


def _digest() -> str:
    return hashlib.sha256(json.dumps(sorted(_carried())).encode()).hexdigest()
