"""Real servers on this machine: an HTTP sink that plays any host by http and https, and a mail server."""

import asyncio
import ipaddress
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from notifier.channels.wire.http import Http
from notifier.core.message import Content, Message

PASSWORD = "s3cret/p@ss:word"  # with characters that a URL has to escape
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)


class Authority:
    """A certificate authority of our own. `server()` answers with a certificate for whatever name is asked for."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._issue("Test authority", self.key, is_authority=True)
        (place / "ca.pem").write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        self.contexts: dict[tuple[str, str | None], ssl.SSLContext] = {}

    def trusted(self) -> ssl.SSLContext:
        """Trusts this authority, and no other."""
        return ssl.create_default_context(cafile=str(self.place / "ca.pem"))

    def server(self, protocol: str | None = None) -> ssl.SSLContext:
        """`protocol`: what it speaks (ALPN)."""
        context = self.server_for("127.0.0.1", protocol)

        def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
            if name:
                connection.context = self.server_for(name, protocol)

        context.sni_callback = choose
        return context

    def server_for(self, name: str, protocol: str | None = None) -> ssl.SSLContext:
        if (name, protocol) not in self.contexts:
            key = ec.generate_private_key(ec.SECP256R1())
            pem = self.place / f"{name}.pem"
            pem.write_bytes(
                self._issue(name, key).public_bytes(serialization.Encoding.PEM)
                + key.private_bytes(
                    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
                )
            )
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(pem)
            if protocol:
                context.set_alpn_protocols([protocol])
            self.contexts[name, protocol] = context
        return self.contexts[name, protocol]

    def _issue(self, name: str, key: ec.EllipticCurvePrivateKey, *, is_authority: bool = False) -> x509.Certificate:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = subject if is_authority else self.certificate.subject
        at = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder(
                issuer,
                subject,
                key.public_key(),
                x509.random_serial_number(),
                at - timedelta(days=1),
                at + timedelta(days=1),
            )
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )
        if is_authority:
            usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
            builder = builder.add_extension(usage, critical=True)
        else:
            is_number = name.replace(".", "").isdecimal()
            builder = builder.add_extension(
                x509.SubjectAlternativeName(
                    [x509.IPAddress(ipaddress.ip_address(name)) if is_number else x509.DNSName(name)]
                ),
                critical=False,
            )
        return builder.sign(self.key, hashes.SHA256())


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: tuple[str, int]


Answer = Callable[[BaseHTTPRequestHandler, Request], None]


class Sink:
    """`answer` says what becomes of a request, unless `choose` knows better; `requests` are those that arrived.
    `released` ends answers that hang.
    """

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self.requests: list[Request] = []
        self.answer: Answer = self.answering(200, {}, b"{}")
        self.choose: Callable[[Request], Answer] = lambda _: self.answer
        self.released = threading.Event()
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                request = Request(
                    self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body, self.client_address
                )
                sink.requests.append(request)
                sink.choose(request)(self, request)

            do_GET = do_POST  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def finish_request(self, request: Any, address: Any) -> None:
                try:
                    with tls.wrap_socket(request, server_side=True) if tls else request as connection:
                        super().finish_request(connection, address)
                except OSError:
                    pass  # the client hung up, as many of the tests make it do

            def shutdown_request(self, request: Any) -> None:
                pass  # closed above

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port: int = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def answers(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        self.answer = self.answering(status, headers or {}, body)

    def hangs(self) -> None:
        self.answer = lambda _handler, _request: self.released.wait(30) and None

    def hangs_up(self) -> None:
        self.answer = lambda handler, _request: setattr(handler, "close_connection", True)

    @staticmethod
    def answering(status: int, headers: dict[str, str], body: bytes) -> Answer:
        def answer(handler: BaseHTTPRequestHandler, _: Request) -> None:
            handler.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(body)

        return answer

    def close(self) -> None:
        self.released.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def sink() -> Iterator[Sink]:
    """Speaks plain http."""
    server = Sink(None)
    yield server
    server.close()


@pytest.fixture
def secure_sink(authority: Authority) -> Iterator[Sink]:
    """Speaks https under any host name."""
    server = Sink(authority.server())
    yield server
    server.close()


@pytest.fixture
def http(authority: Authority) -> Iterator[Http]:
    """Free to reach this machine, and trusts our own authority."""
    http = Http(LOOPBACK, tls=authority.trusted())
    yield http
    http.close()


@dataclass
class Mail:
    """A mail that arrived: its envelope, its bytes, the connection it came by and whether that was encrypted."""

    sender: str
    to: list[str]
    raw: bytes
    connection: Any
    is_encrypted: bool
    options: list[str]
    login: str | None


@dataclass
class Inbox:
    """The mail server's memory. `replies` maps a command to the reply it is to give instead of accepting; `extensions`
    is what it offers beside aiosmtpd's own.
    """

    mails: list[Mail] = field(default_factory=list)
    replies: dict[str, str | Callable[[Any], Any]] = field(default_factory=dict)
    extensions: tuple[str, ...] = ()

    async def handle_EHLO(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        return [*responses[:-1], *(f"250-{name}" for name in self.extensions), responses[-1]]

    async def _reply(self, command: str, server: Any, otherwise: str) -> str:
        scripted = self.replies.get(command)
        if callable(scripted):
            result = scripted(server)
            return await result if asyncio.iscoroutine(result) else result or otherwise
        return scripted or otherwise

    async def handle_MAIL(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:  # noqa: N802
        reply = await self._reply("MAIL", server, "250 OK")
        if reply.startswith("250"):
            envelope.mail_from = address
            envelope.mail_options.extend(options)
        return reply

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:  # noqa: N802
        reply = await self._reply("RCPT", server, "250 OK")
        if reply.startswith("250"):
            envelope.rcpt_tos.append(address)
        return reply

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        reply = await self._reply("DATA", server, "250 OK")
        if reply.startswith("250"):
            login = session.auth_data.login.decode() if session.auth_data else None
            arrived = Mail(
                envelope.mail_from,
                envelope.rcpt_tos,
                envelope.original_content,
                session.peer,
                session.ssl is not None,
                envelope.mail_options,
                login,
            )
            self.mails.append(arrived)
        return reply


@dataclass
class MailServer:
    inbox: Inbox
    controller: Controller

    @property
    def port(self) -> int:
        return int(self.controller.server.sockets[0].getsockname()[1])

    def url(
        self, scheme: str = "smtp", *, user: str | None = None, password: str = PASSWORD, host: str = "127.0.0.1"
    ) -> str:
        login = f"{user}:{quote(password, safe='')}@" if user else ""
        return f"{scheme}://{login}{host}:{self.port}"

    def run(self, action: Callable[[], Any]) -> None:
        """Does something in the server's own thread, and waits until it is done."""

        async def act() -> None:
            action()

        asyncio.run_coroutine_threadsafe(act(), self.controller.loop).result(10)


def check_login(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    is_right = data.login == b"notifier" and data.password == PASSWORD.encode()
    return AuthResult(success=is_right, handled=is_right, auth_data=data)


class _AnyPort(Controller):
    """The controller tries its own port after starting, and does not know it when it is any."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


StartMail = Callable[..., MailServer]


@pytest.fixture
def start_mail() -> Iterator[StartMail]:
    """`start_mail(needs_login=…, **options of aiosmtpd)` → a running mail server.
    Its one login is notifier / PASSWORD.
    """
    started: list[Controller] = []

    def start(
        hostname: str = "127.0.0.1", *, needs_login: bool = False, extensions: tuple[str, ...] = (), **options: Any
    ) -> MailServer:
        if needs_login:
            options |= {
                "authenticator": check_login,
                "auth_required": True,
                "auth_require_tls": options.get("tls_context") is not None,
            }
        inbox = Inbox(extensions=extensions)
        controller = _AnyPort(inbox, hostname=hostname, port=0, **options)
        controller.start()
        started.append(controller)
        return MailServer(inbox, controller)

    yield start
    for controller in started:
        controller.stop(no_assert=True)


MakeMessage = Callable[..., Message]


def _message(**changes: Any) -> Message:
    content = Content(
        title="On its way",
        body="Your order A123 is on its way.",
        subject="Order A123",
        html="<!doctype html><p>Your order A123 is on its way.</p>",
        action_label="Track it",
        action_url="https://shop.test/track/A123",
    )
    values: dict[str, Any] = {
        "delivery_id": "dlv_01930000000070008000000000000001",
        "notification_id": "ntf_01930000000070008000000000000002",
        "user_id": "alice",
        "try_number": 1,
        "type": "order_shipped",
        "category": "transactional",
        "priority": "high",
        "created_at": datetime(2026, 12, 1, 9, 0, tzinfo=UTC),
        "content": content,
        "data": {"order_id": "A123"},
    }
    return Message(**(values | changes))


@pytest.fixture
def make_message() -> MakeMessage:
    """`make_message(**changed fields)` → an order that is on its way, to alice."""
    return _message
