"""`/hooks/{account}`: what providers tell of messages later.

The account's adapter verifies a call by its signature over the bytes as they came, and over the URL that the provider
was given, never the Host header's.

No key, no cookie and no limit of keys; each call that is refused counts as a guess of its network address.
"""

from typing import NoReturn

from flask import Response, current_app, request
from werkzeug.exceptions import RequestEntityTooLarge

from notifier.api import limits
from notifier.api.auth import Door, provider
from notifier.channels import serving
from notifier.channels.contract import Adapter
from notifier.channels.receipts import HookRefused, HookRequest, Misdirected, Unreadable
from notifier.core.errors import DeliveryError, Rejected
from notifier.ground import metrics
from notifier.ground.clock import now
from notifier.ground.config import current_settings
from notifier.pipeline.delivery import receipts
from notifier.providers import accounts
from notifier.signals import hook_health

_ASK_AGAIN_S = 5

bp = Door("api_hooks", __name__, url_prefix="/hooks", tag="Receipts")


@bp.post("/<account>")
@provider
@bp.output({}, content_type="text/plain")
@bp.doc(responses={204: "There was nothing to take: kinds of events that are not known, or not for this hook."})
def receive(account: str) -> Response:
    """What became of messages, told by their provider

    For the provider behind the account, which signs the call; its hook's URL is shown on the account's page. Each event
    is applied once, however often it comes and in whatever order. Events of kinds that are not known are passed over.
    """
    adapter = _adapter(account)
    call = _request(account)
    try:
        events = tuple(adapter.read_receipts(call))
    except Misdirected as error:
        _note(account, "misdirected", error)
        return Response(status=204)
    except HookRefused as error:
        _refuse(account, error)
    except DeliveryError:  # the provider's own servers, which some adapters ask for a certificate
        raise Rejected("unavailable", "the provider cannot be asked at the moment", retry_after=_ASK_AGAIN_S) from None
    receipts.submit(receipts.Call(account, adapter.channel.name, events, call.at))
    hook_health.note_events(account, {event.kind for event in events}, call.at)
    _count(account, "taken")
    # Mailgun repeats for hours what is answered with any other success than 200.
    return Response(status=200 if events else 204, content_type="text/plain; charset=utf-8")


@bp.get("/<account>")
@provider
@bp.output({}, content_type="text/plain")
def challenge(account: str) -> Response:
    """The answer by which a provider makes sure that the hook is ours

    Only some providers ask for it.
    """
    try:
        return Response(_adapter(account).answer_challenge(_request(account)), content_type="text/plain; charset=utf-8")
    except HookRefused as error:
        _refuse(account, error)


def _adapter(account: str) -> Adapter:
    accounts.refresh()
    adapter = serving.registry().account(account)
    if adapter is None:
        limits.charge_guess()
        accounts.refresh_now()  # another process may have added it a moment ago, and Twilio does not call twice
        adapter = serving.registry().account(account)
    if adapter is None:
        raise Rejected("not_found", f"there is no account {account[:64]!r}")
    return adapter


def _request(account: str) -> HookRequest:
    body = request.get_data(cache=False)
    if len(body) > current_app.config["MAX_CONTENT_LENGTH"]:  # a chunked one: see `auth`
        raise RequestEntityTooLarge
    query = request.query_string.decode("latin-1")
    return HookRequest(
        method=request.method,
        url=current_settings().hook_url(account) + (f"?{query}" if query else ""),
        headers={name.lower(): value for name, value in request.headers.items()},
        body=body,
        at=now(),
    )


def _refuse(account: str, error: HookRefused) -> NoReturn:
    """Their sentences are for operators: who forges a call learns nothing from the answer."""
    if isinstance(error, Unreadable):
        _note(account, "unreadable", error)
        limits.charge_guess()
        raise Rejected("unreadable_receipt", "the body is not what the provider's documents describe")
    _note(account, "refused", error)
    limits.charge_guess()
    raise Rejected("unverified", "this cannot be shown to come from the provider")


def _note(account: str, outcome: hook_health.Outcome, error: HookRefused) -> None:
    _count(account, outcome)
    hook_health.note_refused(account, str(error), outcome)


def _count(account: str, outcome: str) -> None:
    metrics.series(metrics.hook_calls, metrics.bounded("provider", account), outcome).inc()
