"""In production, nobody is served through a reverse proxy that TRUSTED_PROXIES does not count.

Such a proxy makes all clients one: they would share one limit, keys would see its address, and people would be told of
sign-ins from there. The headers by which it shows are refused before Flask and Socket.IO see the request. Applied by
`create_app`.
"""

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from notifier.core.problems import PROBLEMS
from notifier.core.problems.problem import PLACE, address_of

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication

_HEADERS = ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED")
_ANSWERED = "/healthz"  # which `doctor` asks how many proxies there are
CODE = "unknown_proxy"
_PAGE = f"{PLACE}/{CODE}"  # says what to do, also to whoever comes by the proxy
_PROBLEM = {
    "title": PROBLEMS[CODE].title,
    "status": PROBLEMS[CODE].status,
    "detail": "X-Forwarded-For and Forwarded are refused in production while TRUSTED_PROXIES is 0. Set it to the "
    "number of reverse proxies in front; python -m notifier doctor counts them.",
    "code": CODE,
    "errors": [],
    "request_id": None,
}


class RefuseProxies:
    """The application, but for requests with headers of a proxy: 400."""

    def __init__(self, application: "WSGIApplication", public_url: str) -> None:
        self._application = application
        self._problem = {"type": address_of(CODE, public_url), **_PROBLEM}

    def __call__(self, environ: dict[str, Any], start_response: "StartResponse") -> Iterable[bytes]:
        if environ.get("PATH_INFO") in (_ANSWERED, _PAGE) or not any(name in environ for name in _HEADERS):
            return self._application(environ, start_response)
        body = json.dumps({**self._problem, "instance": environ.get("PATH_INFO", "")}).encode()
        headers = [("Content-Type", "application/problem+json"), ("Content-Length", str(len(body)))]
        start_response("400 Bad Request", [*headers, ("Cache-Control", "no-store")])
        return [body]
