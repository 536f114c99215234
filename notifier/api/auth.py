"""Who is calling, and whether they may.

Every route of the API declares its rule with `allow`; a route without one cannot be declared. Runs before the body is
read, since strangers learn nothing about bodies. `g.key` holds the caller's identity, `g.request_id` the id of the
request.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from apiflask import APIBlueprint, APIFlask
from flask import Response, current_app, g, request

from notifier.access import key_use, keys
from notifier.api import limits, parameters
from notifier.api.errors import is_api
from notifier.core import worlds
from notifier.core.errors import Rejected
from notifier.core.networks import is_within
from notifier.core.people import UNSTORABLE, parse_user_id
from notifier.ground import logs, tokens
from notifier.ground.ids import new_hex
from notifier.ledgers import audit
from notifier.models.producer import SCOPES
from notifier.people import staff
from notifier.pipeline.intake.item import Caller

_OF_ONE_REQUEST = ("key", "scopes_wanted", "rate_limit", "body_is_optional")
# In the environ of a call that is carried out within another: the identity of its caller
ON_BEHALF = "notifier.on_behalf"
_ANYONE = "anyone"  # the rule of routes that need no caller
# Routes that machines call all the time and must get an answer from
_UNLIMITED = ("static", "api_health.healthz", "api_health.readyz")
_SIGNED = ("provider", "bus", "cell")  # kinds of callers who come as often as they like
_KEY_PREFIX = re.compile(r"ntf_(live|test)_[A-Za-z0-9_-]{0,7}")
_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")

View = TypeVar("View", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Access:
    """The rule of a route: open to the public, to a signed-in person, to keys with one of `scopes`, to a client
    of OAuth 2, to a provider, whose signature its adapter checks, to a message bus, whose token the view checks, or to
    another cell, which signs its calls too.

    `is_live_only`: the route changes what test and live keys share, or tells of what was live; test keys are refused.
    """

    kind: Literal["public", "person", "producer", "client", "provider", "bus", "cell"]
    scopes: tuple[str, ...] = ()
    body_is_optional: bool = False
    is_live_only: bool = False


class Door(APIBlueprint):
    """A blueprint that takes no route without a rule of access,
    and no query parameter that the route does not declare.
    """

    def input(self, schema: Any, location: str = "json", **options: Any) -> Callable[[View], View]:  # type: ignore[override]
        decorate = super().input(schema, location, **options)

        def declare(view: View) -> View:
            decorated = decorate(view)
            if location == "query":
                decorated.parameters = frozenset(schema.model_fields)  # type: ignore[attr-defined]
            return decorated

        return declare

    def add_url_rule(
        self,
        rule: str,
        endpoint: str | None = None,
        view_func: Any = None,
        *args: Any,
        **options: Any,
    ) -> None:
        access = getattr(view_func, "access", None)
        if not isinstance(access, Access):
            raise RuntimeError(f"{rule} says nobody who may call it: decorate it with @allow(…), @public or @person")
        if access.kind in ("person", "producer"):  # a provider may put what it likes behind the URL it was given
            view_func = parameters.checked(view_func, getattr(view_func, "parameters", ()))
        super().add_url_rule(rule, endpoint, view_func, *args, **options)


def allow(*scopes: str, body_is_optional: bool = False, is_live_only: bool = False) -> Callable[[View], View]:
    """A producer's key with any one of these scopes."""
    if not scopes or not set(scopes) <= set(SCOPES):
        raise RuntimeError(f"{scopes} are not scopes")
    return _declare(Access("producer", scopes, body_is_optional, is_live_only))


def public(view: View) -> View:
    """Anybody."""
    return _declare(Access("public"))(view)


def person(view: View) -> View:
    """A signed-in person or a user's token; the blueprint itself identifies the person."""
    return _declare(Access("person"))(view)


def client(view: View) -> View:
    """A key that shows itself as RFC 6749 has it; the view identifies it."""
    return _declare(Access("client"))(view)


def provider(view: View) -> View:
    """A provider: the view has its adapter verify the call, and counts those that are refused against their address.
    No limit holds for the others, however many one address sends: what a provider is refused may be lost.
    """
    return _declare(Access("provider"))(view)


def bus(view: View) -> View:
    """A message bus that pushes: as a provider's."""
    return _declare(Access("bus"))(view)


def cell(view: View) -> View:
    """Another cell: the view verifies the signature, and counts calls without one against their address."""
    return _declare(Access("cell"))(view)


def _declare(access: Access) -> Callable[[View], View]:
    def decorate(view: View) -> View:
        view.access = access  # type: ignore[attr-defined]
        return view

    return decorate


def init_app(app: APIFlask) -> None:
    app.before_request(_enter)
    app.after_request(_leave)
    app.teardown_request(lambda _error: logs.unbind())


def caller() -> Caller:
    """The authenticated producer, in the pipeline's form."""
    key = g.key
    return Caller.of_key(
        key.producer_id,
        key.scopes,
        key.types,
        is_test=key.is_test,
        request_id=g.request_id,
        label=key.label,
        key_id=key.key_id,
        traceparent=request.environ.get("HTTP_TRACEPARENT"),
    )


def _enter() -> None:
    # The environ's own dictionary: a header that is missing costs Werkzeug an exception
    environ, ours = request.environ, g._get_current_object()
    for name in _OF_ONE_REQUEST:  # the app's context may be older than the request
        ours.pop(name, None)
    given = environ.get("HTTP_X_REQUEST_ID", "")
    request_id = ours.request_id = given if _SANE_REQUEST_ID.match(given) else new_hex()
    environ[logs.REQUEST_ID] = request_id  # for the server, should the rest of the request be broken
    logs.bind(request_id=request_id)
    if environ.get("HTTP_TRANSFER_ENCODING", "").lower() == "chunked":
        # The servers we run under end a chunked body by themselves, but not all of them say so. One byte
        # more than allowed is let through, because Werkzeug cuts such a body off without a word: see strict_json.
        environ["wsgi.input_terminated"] = True
        request.max_content_length = current_app.config["MAX_CONTENT_LENGTH"] + 1
    endpoint = request.endpoint
    view = current_app.view_functions.get(endpoint or "")
    access: Access | None = getattr(view, "access", None)
    if access is not None and access.kind == "producer":
        ours.body_is_optional = access.body_is_optional
        _admit(access)
        if ON_BEHALF not in environ:  # else it was counted where it came in
            limits.charge(1)
    elif endpoint not in _UNLIMITED and (access is None or access.kind not in _SIGNED):
        is_for_somebody = access.kind == "person" if access is not None else getattr(view, "rule", _ANYONE) != _ANYONE
        limits.charge_address(known=is_for_somebody)


def _admit(access: Access) -> None:
    key = request.environ.get(ON_BEHALF) or _shown_key()
    if key.scopes.isdisjoint(access.scopes):
        g.scopes_wanted = access.scopes
        raise Rejected("scope_missing", f"this call needs the scope {' or '.join(access.scopes)}")
    g.key = key
    if access.is_live_only:
        refuse_test_keys("this changes what live notifications use, or tells of them, so a test key may not do it")
    if named := request.view_args:
        _refuse_unstorable_names(named)
        if "user_id" in named:
            named["user_id"] = stored_id(named["user_id"])  # every path, also of a route to come
    audit.acting_as(key.label, request.remote_addr)


def _shown_key() -> keys.KeyIdentity:
    """Raises Rejected."""
    scheme, _, token = request.environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        seen = "; 'Bearer' is missing" if scheme.startswith("ntf_") else ""
        raise Rejected("unauthenticated", f"send the key, or an access token, as 'Authorization: Bearer <key>'{seen}")
    key = keys.find_key(token)
    if key is None:
        limits.charge_guess()
        if tokens.open_user_token(token) is not None:
            raise Rejected("user_token_refused", "this is a user's token; this call needs a producer's key")
        raise Rejected("invalid_key", f"the key is unknown, expired or revoked; {_seen(token)}")
    use(key)
    return key


def _seen(token: str) -> str:
    """As much of a key as the console shows of it."""
    matched = _KEY_PREFIX.match(token)
    if matched is None:
        return "it does not begin with ntf_live_ or ntf_test_, as keys do"
    return f"it begins with {matched[0]}"


def _refuse_unstorable_names(named: Mapping[str, Any]) -> None:
    """Nothing goes by a name that no database can hold; ids of people say themselves what is wrong with them. Raises
    Rejected('not_found').
    """
    for name, value in named.items():
        if name != "user_id" and UNSTORABLE.search(str(value)):
            raise Rejected("not_found", f"there is no {str(value)[:80]!r}")


def use(key: keys.KeyIdentity) -> None:
    """Notes the use of a key, by itself or by an access token. Raises Rejected if it may not be used from where the
    caller is.
    """
    if key.networks is not None and not is_within(request.remote_addr, key.networks):
        raise Rejected(
            "network_refused", f"this key may not be used from {request.remote_addr or 'an unknown address'}"
        )
    key_use.note(key.key_id)


def stored_id(user_id: str) -> str:
    """An id from a body or a query, as it is stored in the world of the calling key."""
    return worlds.stored_id(user_id, is_test=g.key.is_test)


def existing_user_id(stored: str) -> str:
    """The stored user id of a path (`_admit` has translated it). Raises Rejected('not_found') for an id that nobody can
    have.
    """
    user_id = worlds.shown_id(stored) if g.key.is_test else stored
    try:
        parse_user_id(user_id)
    except ValueError:
        raise Rejected("not_found", f"there is no user {user_id[:80]!r}") from None
    return stored


def refuse_test_keys(reason: str) -> None:
    """For a call that would change what test and live keys share. Raises Rejected."""
    if g.key.is_test:
        raise Rejected("test_key", reason)


def may_change(key: str, *, is_everybodys: bool) -> None:
    """Whether the key may change this type or its template. `is_everybodys`: the type's messages reach everybody,
    whatever they chose. Raises Rejected.
    """
    if is_everybodys:
        require(
            "admin", f"messages of {key!r} reach everybody, whatever they chose; changing them needs the scope admin"
        )
    if g.key.types is not None and key not in g.key.types:
        require("admin", f"this key may not submit {key!r}; changing it needs the scope admin")


def may_change_person(user_id: str) -> None:
    """Only a key with the scope admin changes staff: what is stored about them decides where their alerts and sign-in
    links go. Raises Rejected.
    """
    if is_beyond_reach(user_id):
        raise scope_missing("admin", f"{user_id!r} has a role in the console; changing them needs the scope admin")


def is_beyond_reach(user_id: str) -> bool:
    """Whether the person has a role in the console and the key lacks the scope to change such people."""
    return "admin" not in g.key.scopes and bool(staff.among([user_id]))


def require(scope: str, reason: str) -> None:
    """Requires a scope beside those of the route. Raises Rejected."""
    if scope not in g.key.scopes:
        raise scope_missing(scope, reason)


def scope_missing(scope: str, reason: str) -> Rejected:
    g.scopes_wanted = (scope,)
    return Rejected("scope_missing", reason)


def _leave(response: Response) -> Response:
    ours = g._get_current_object()
    response.headers["X-Request-Id"] = ours.get("request_id", "")
    if "key" in ours:
        response.headers["Cache-Control"] = "no-store"
    if "key" in ours or ("rate_limit" in ours and (is_api(request.path) or response.status_code == 429)):
        for name, value in limits.headers():
            response.headers[name] = value
    return response
