"""Response headers for browsers: a strict Content-Security-Policy for pages; only https, once it has been used; other
sites may not load pages and data as parts of theirs. (Static files, which they may: `assets`. Reading our data by CORS,
as the embedded inbox does, is another matter: `api.inbox` decides that.)

A response that already has a policy keeps it (mail previews have their own).
"""

from urllib.parse import urlsplit

from flask import Flask, Response

from notifier.ground.config import current_settings

# Images may come from anywhere by https, since notifications carry them; everything else is ours.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self' data: https:; "
    "connect-src 'self' {socket}; "
    "frame-src 'self'; worker-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)

_HTTPS_ONLY = f"max-age={365 * 86_400}"  # this host only: what is beside it is not ours to decide


def init_app(app: Flask) -> None:
    app.after_request(_add)


def _add(response: Response) -> Response:
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "same-origin")
    if current_settings().has_secure_cookies:
        response.headers.setdefault("Strict-Transport-Security", _HTTPS_ONLY)
    is_page = response.mimetype == "text/html"
    if is_page or response.is_json:
        response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
    if is_page:
        response.headers.setdefault("Content-Security-Policy", _POLICY.format(socket=_socket_origin()))
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
        response.headers.setdefault("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
    return response


def _socket_origin() -> str:
    """Our own WebSocket address: older browsers do not count it as 'self'."""
    url = urlsplit(current_settings().public_url)
    return url._replace(scheme="wss" if url.scheme == "https" else "ws", path="").geturl()
