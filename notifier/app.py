"""`create_app`: reads the settings, binds the extensions, registers the doors. An import creates nothing."""

from collections.abc import Callable
from typing import Any

import structlog
from apiflask import APIFlask
from flask import Flask, Request, Response, request
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface, SessionMixin
from werkzeug.middleware.proxy_fix import ProxyFix

from notifier import api, web
from notifier.access import sessions
from notifier.channels import serving
from notifier.ground import logs, process_pool, replica
from notifier.ground.config import ROOT, Settings
from notifier.ground.encryption import vault
from notifier.ground.engines import engine_options, prepare_engine
from notifier.ground.extensions import csrf, db, login_manager, migrate, redis_store, socketio
from notifier.ground.unknown_proxy import RefuseProxies
from notifier.ledgers import audit
from notifier.operations import installation
from notifier.realtime import gateway

MOST_SAID = 64 * 1024  # bytes in a message over Socket.IO: browsers send little


log = structlog.get_logger()


class _Sessions(SecureCookieSessionInterface):
    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """Without a cookie, as with every call by key, there is nothing to read or to verify: Flask makes its signer
        first.
        """
        if "HTTP_COOKIE" not in request.environ or self.get_cookie_name(app) not in request.cookies:
            return self.session_class()
        return super().open_session(app, request)

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """An answer that caches keep for everybody sets no cookie, and is the same whatever cookie comes: Flask-Login
        has looked into the session all the same, which would make it `Vary`. One that nobody keeps need not vary, and
        with a session that was and is empty there is no cookie to set or to take back.
        """
        kept = response.headers.get("Cache-Control", "")
        if kept.startswith("public") or (kept == "no-store" and not session and not session.modified):
            return
        super().save_session(app, session, response)


class _App(APIFlask):
    session_interface = _Sessions()

    def log_exception(self, exc_info: Any) -> None:
        """Flask's own line would have the path, and some paths are secrets."""
        log.error("request.failed", route=logs.route(request.url_rule), method=request.method, exc_info=exc_info)

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """No view or hook of ours is a coroutine. Flask would look at each of the dozen of a request."""
        return func


def create_app(
    settings: Settings | None = None,
    *,
    async_mode: str = "threading",
    socketio_queue: bool = True,
    opens_vault: bool = True,
) -> APIFlask:
    """A new application. `async_mode` is eventlet's only in wsgi.py; without `socketio_queue` (Flask-SocketIO's
    test client wants none) events stay inside the process. Without `opens_vault` the keys need not fit the
    database, and nothing is known of its secrets.
    """
    settings = settings or Settings.from_env()
    app = _App(
        __name__,
        title="Notifier",
        spec_path=None,
        docs_path=None,
        static_folder=str(ROOT / "static" / "built"),
        static_url_path="/static",
        template_folder=str(ROOT / "templates"),
    )
    app.extensions["settings"] = settings
    app.config.update(
        SECRET_KEY=settings.secret_key,
        SECRET_KEY_FALLBACKS=list(settings.secret_keys[1:]),
        WTF_CSRF_SECRET_KEY=list(reversed(settings.secret_keys)),  # itsdangerous signs with the last
        SQLALCHEMY_DATABASE_URI=settings.pooled_url,
        SQLALCHEMY_ENGINE_OPTIONS=engine_options(settings.pooled_url, is_pooled=settings.database_pooler is not None),
        MAX_CONTENT_LENGTH=1024 * 1024,
        SESSION_COOKIE_NAME=settings.session_cookie,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_REFRESH_EACH_REQUEST=False,  # an answer still on its way must not bring back the cookie of a sign-out
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=settings.has_secure_cookies,
        PERMANENT_SESSION_LIFETIME=sessions.LIFETIME,
        WTF_CSRF_TIME_LIMIT=None,  # as long as the session
        WTF_CSRF_SSL_STRICT=settings.has_secure_cookies,
    )

    vault.open(settings.encryption_keys)
    db.init_app(app)
    # As Alembic's configuration spells a percent sign in a path. (alembic.ini is not found there then; upgrading needs
    # nothing of it.)
    migrate.init_app(app, db, directory=str(ROOT / "migrations").replace("%", "%%"))
    redis_store.init_app(app, settings.redis_url)
    serving.init_app(app, settings)
    process_pool.init_app(app, has_pools=async_mode != "threading")  # green threads share one real one
    login_manager.init_app(app)
    csrf.init_app(app)
    socketio.init_app(
        app,
        async_mode=async_mode,
        client_manager=gateway.Listener(app, settings.redis_url) if socketio_queue else None,
        cors_allowed_origins="*",  # the gateway decides: a cookie is honoured from our own origin only
        cors_credentials=False,
        manage_session=False,
        max_http_buffer_size=MOST_SAID,
    )
    gateway.init_app(socketio)
    if hops := settings.trusted_proxies:  # last, so that Socket.IO knows the caller too
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]
    elif settings.is_production:
        app.wsgi_app = RefuseProxies(app.wsgi_app, settings.public_url)  # type: ignore[method-assign]

    api.init_app(app)
    web.init_app(app)
    for blueprint in (*api.blueprints, *web.blueprints):
        app.register_blueprint(blueprint)

    @app.teardown_request
    def _forget_who_acted(_error: BaseException | None) -> None:
        audit.acting_as(None)  # the thread serves another client next

    with app.app_context():
        prepare_engine(db.engine)
        replica.init_app(app)
        if opens_vault:
            installation.open_vault()
    return app
