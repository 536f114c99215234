"""SMTP: connections to one mail server, kept open and used by one thread at a time, and the meaning of its replies.

Called by `adapters.email_smtp`. A kept connection that has gone stale is opened again without the caller noticing.
smtplib connects and signs in. The mails themselves are handed over here: smtplib parses both addresses of each anew and
knows no pipelining, so it costs three times the CPU and two round trips more.
"""

import re
import smtplib
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from urllib.parse import unquote, urlsplit

from notifier.channels.wire.http import Http
from notifier.channels.wire.mail import needs_utf8
from notifier.core.errors import DeliveryError, InvalidRecipient, Misconfigured, Permanent, Retryable
from notifier.core.networks import numeric

PATIENCE = 3  # times what an HTTP provider gets: mail servers greylist, delay their greeting, look for viruses
KEPT_CONNECTIONS = 10
LONGEST_IDLE_S = 60.0
MAILS_A_CONNECTION = 100  # many servers hang up after that many

_PERHAPS_OURS = partial(Misconfigured, is_certain=False)

# What a reply means (RFC 5321 codes, RFC 3463 enhanced codes) to which command, first match. Codes only, never the
# English behind them. Before RCPT TO no recipient was named, so a refusal is about us. An address is blamed only where
# the server says that there is none: a bare 550 is as often a policy, and 5.1.0 and 5.7.x are about the sender, or
# about a relay that does not take our mail. To the data, 5.7.x without a word of SPF, DKIM and their like (RFC 7372) is
# about what the mail says.
_REPLIES: tuple[tuple[str, str, str, Callable[..., DeliveryError]], ...] = (
    (r".*", r"4..", r".*", Retryable),
    (r".*", r"530|534|535|538", r".*", Misconfigured),
    (r"MAIL", r"555", r".*", Permanent),
    (r"MAIL", r"5..", r"5\.(3\.4|6\.\d+)", Permanent),  # this mail's size, its recipient's letters
    (r"HELLO|MAIL", r"5..", r".*", Misconfigured),
    (r"RCPT", r"5..", r"5\.7\.\d+", _PERHAPS_OURS),
    (r"DATA", r"5..", r"5\.7\.[89]", Misconfigured),
    (r"DATA", r"5..", r"5\.7\.2\d", _PERHAPS_OURS),
    (r".*", r"5..", r"5\.1\.[078]", _PERHAPS_OURS),
    (r".*", r"550|551|553", r"5\.1\.([1236]|10)", InvalidRecipient),
    (r".*", r"5..", r".*", Permanent),
)
# What is quoted goes into answers, pages and dead letters, where addresses are masked
_QUOTED_ADDRESS = re.compile(r"[^\s<>:;,\"'()]+@[^\s<>:;,\"'()]+")
_ENHANCED = re.compile(rb"[245]\.\d{1,3}\.\d{1,3}(?=\s|$)")


def explain_reply(command: str, code: int, text: bytes) -> DeliveryError:
    """The error that a refusal means. `command`: HELLO (everything before MAIL FROM), MAIL, RCPT or DATA."""
    enhanced = match.group().decode() if (match := _ENHANCED.match(text)) else ""
    plain = re.sub(r"[^\x20-\x7e]+", " ", text[:2000].decode("ascii", "replace"))
    quoted = _QUOTED_ADDRESS.sub("…", plain)[:300]
    for commands, codes, enhanced_codes, family in _REPLIES:
        if all(re.fullmatch(*pair) for pair in ((commands, command), (codes, str(code)), (enhanced_codes, enhanced))):
            return family(f"the mail server answered {code} {quoted}", code=enhanced or str(code))
    return Retryable(f"the mail server answered {code}", code=str(code))


@dataclass(frozen=True, slots=True)
class Server:
    host: str
    port: int
    user: str | None
    password: str | None
    is_tls: bool
    greeting: str  # our name in EHLO; given, because smtplib would otherwise look it up in DNS for every connection

    @classmethod
    def parse(cls, url: str, greeting: str) -> "Server":
        """Raises ValueError, never quoting the URL, which holds a password."""
        try:
            parts = urlsplit(url)
            is_tls = {"smtp": False, "smtps": True}[parts.scheme]
            port = parts.port or (465 if is_tls else 25)
        except (ValueError, KeyError):
            parts = None
        if parts is None or not parts.hostname or parts.path not in ("", "/"):
            raise ValueError(
                "SMTP_URL must be smtp://[user:password@]host:port; write special characters of the password as %XX"
            )
        user, password = (unquote(part) if part else None for part in (parts.username, parts.password))
        return cls(parts.hostname, port, user, password, is_tls, greeting)


class Pool:
    def __init__(self, server: Server, http: Http, most: int) -> None:
        self.server = server
        self.http = http
        self.lock = threading.Lock()
        # Mail servers take a handful of connections from one client, not one a thread
        self.slots = threading.BoundedSemaphore(most)
        self.idle: deque[_Connection] = deque()

    def send(self, sender: str, to: str, raw: bytes) -> None:
        """`sender` and `to` are addresses of a `Mailbox`, which has checked them; `raw` is a `Mail`'s."""
        with self.slots:
            self._send(sender, to, raw)

    def try_out(self) -> str:
        """Connects and signs in, beside what is pooled. → the server. Raises a DeliveryError."""
        _Connection(self.server, self.http).close()
        return f"{self.server.host}:{self.server.port}"

    def _send(self, sender: str, to: str, raw: bytes) -> None:
        connection = self._open_transaction(sender, to)
        try:
            connection.deliver(raw)
        except DeliveryError as error:
            self._take_back(connection, is_sound=not isinstance(error, Retryable) and connection.reset())
            raise
        self._take_back(connection, is_sound=True)

    def close(self) -> None:
        with self.lock:
            connections, self.idle = list(self.idle), deque()
        for connection in connections:
            connection.close()

    def _open_transaction(self, sender: str, to: str) -> "_Connection":
        """A connection that has taken MAIL FROM. One that went stale while it lay here shows it now, before anything
        was sent.
        """
        while (kept := self._take()) is not None:
            try:
                kept.begin(sender, to)
            except Retryable:
                kept.close()
                self.close()  # the others are as old, and each could cost a time-out
            except DeliveryError:
                self._take_back(kept, is_sound=kept.reset())
                raise
            else:
                return kept
        fresh = _Connection(self.server, self.http)
        try:
            fresh.begin(sender, to)
        except DeliveryError:
            fresh.close()
            raise
        return fresh

    def _take(self) -> "_Connection | None":
        expired = []
        try:
            with self.lock:
                while self.idle:
                    connection = self.idle.pop()
                    if time.monotonic() - connection.used_at < LONGEST_IDLE_S:
                        return connection
                    expired.append(connection)
            return None
        finally:
            for connection in expired:
                connection.close()

    def _take_back(self, connection: "_Connection", *, is_sound: bool) -> None:
        if is_sound and connection.mails < MAILS_A_CONNECTION:
            with self.lock:
                if len(self.idle) < KEPT_CONNECTIONS:
                    self.idle.append(connection)
                    return
        connection.close()


class _Connection:
    """One signed-in SMTP session. Raises DeliveryErrors."""

    def __init__(self, server: Server, http: Http) -> None:
        self.mails = 0
        self.is_lost = False
        self.unsent: deque[bytes] = deque()  # of the envelope
        self.unanswered = 0  # commands that are sent
        self.used_at = time.monotonic()
        timeout = PATIENCE * http.read_s
        plain, over_tls = (_confined(http), _confined_over_tls(http)) if http.is_confined else _FREE
        try:
            if server.is_tls:
                self.smtp: smtplib.SMTP = over_tls(
                    server.host, server.port, server.greeting, timeout=timeout, context=http.tls
                )
            else:
                self.smtp = plain(server.host, server.port, server.greeting, timeout)
        except Exception as error:
            raise _unreachable(error) from None
        try:
            self._greet(server, http)
        except Exception as error:
            self.close()
            raise _unreachable(error) from None

    def _greet(self, server: Server, http: Http) -> None:
        self.smtp.ehlo_or_helo_if_needed()
        if not server.is_tls and self.smtp.has_extn("starttls"):
            code, text = self.smtp.starttls(context=http.tls)
            if code != 220:
                raise explain_reply("HELLO", code, text)
            self.smtp.ehlo()
        if server.user is None:
            return
        if not _is_private(self.smtp.sock, http):
            raise Misconfigured("the mail server offers no TLS, and a password is not sent in the clear", code="no_tls")
        try:
            self.smtp.login(server.user, server.password or "")
        except smtplib.SMTPAuthenticationError as error:
            raise explain_reply("HELLO", error.smtp_code, b"to the sign-in") from None
        except smtplib.SMTPServerDisconnected:
            raise
        except (smtplib.SMTPException, ValueError):  # no method in common, or a password that smtplib cannot write
            raise Misconfigured("the mail server does not support this kind of sign-in", code="no_auth") from None

    def begin(self, sender: str, to: str) -> None:
        """Names the sender and waits for the reply. Where the server takes several commands at once (RFC 2920), the
        rest of the envelope goes with it.
        """
        options = ""
        if needs_utf8(to):
            if not self.smtp.has_extn("smtputf8"):
                raise Permanent("the mail server supports only ASCII addresses (no SMTPUTF8)", code="smtputf8_missing")
            options = " SMTPUTF8 BODY=8BITMIME"
        commands = [f"MAIL FROM:<{sender}>{options}", f"RCPT TO:<{to}>", "DATA"]
        self.unsent = deque(f"{command}\r\n".encode() for command in commands)
        self.unanswered = 0
        if self.smtp.has_extn("pipelining"):
            self._write(b"".join(self.unsent))
            self.unanswered = len(self.unsent)
            self.unsent.clear()
        self._expect("MAIL", self._ask())

    def deliver(self, raw: bytes) -> None:
        self._expect("RCPT", self._ask())
        code, text = self._ask()
        if code != 354:
            raise explain_reply("DATA", code, text)
        self._write(raw.replace(b"\r\n.", b"\r\n..") + b".\r\n", is_ambiguous=True)
        self._expect("DATA", self._reply(is_ambiguous=True))
        self.mails += 1
        self.used_at = time.monotonic()

    def reset(self) -> bool:
        """Ends a transaction that was refused half-way. False: the connection is of no more use."""
        try:
            while not self.is_lost and self.unanswered:
                if self._ask()[0] == 354:
                    self.is_lost = True  # it waits for a mail whose recipient it has refused
            if self.is_lost:
                return False
            self._write(b"RSET\r\n")
            return self._reply()[0] == 250
        except DeliveryError:
            return False

    def close(self) -> None:
        """Sends QUIT without waiting for the reply, which would only cost time. Not within an envelope: after DATA it
        would be a line of the mail.
        """
        try:
            if not self.is_lost and not self.unanswered:
                self.smtp.putcmd("quit")
        except (smtplib.SMTPException, OSError):
            pass
        finally:
            self.smtp.close()

    def _ask(self) -> tuple[int, bytes]:
        """The reply to the next command of the envelope, which is sent unless it went with the first."""
        if self.unanswered:
            self.unanswered -= 1
        else:
            self._write(self.unsent.popleft())
        return self._reply()

    def _write(self, data: bytes, *, is_ambiguous: bool = False) -> None:
        try:
            self.smtp.send(data)
        except (smtplib.SMTPException, OSError) as error:
            raise self._lost(error, is_ambiguous=is_ambiguous) from None

    def _reply(self, *, is_ambiguous: bool = False) -> tuple[int, bytes]:
        try:
            code, text = self.smtp.getreply()
        except (smtplib.SMTPException, OSError) as error:
            raise self._lost(error, is_ambiguous=is_ambiguous) from None
        if not 200 <= code < 600:
            raise self._lost(None, is_ambiguous=is_ambiguous)
        return code, text

    def _lost(self, error: Exception | None, *, is_ambiguous: bool) -> Retryable:
        """There is no reply, or none that is SMTP."""
        self.is_lost = True
        code = "timeout" if error is not None and _is_timeout(error) else "disconnected"
        return Retryable("the connection to the mail server was lost", code=code, ambiguous=is_ambiguous)

    def _expect(self, command: str, reply: tuple[int, bytes]) -> None:
        code, text = reply
        if not 200 <= code < 300:
            raise explain_reply(command, code, text)


_FREE: tuple[type[smtplib.SMTP], type[smtplib.SMTP_SSL]] = (smtplib.SMTP, smtplib.SMTP_SSL)


def _confined(http: Http) -> type[smtplib.SMTP]:
    class Confined(smtplib.SMTP):
        def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
            dialled = http.dial(host, port)
            dialled.settimeout(timeout)
            return dialled

    return Confined


def _confined_over_tls(http: Http) -> type[smtplib.SMTP_SSL]:
    """SMTP_SSL asks the next in line for its socket, and puts TLS over it."""
    return type("ConfinedOverTls", (smtplib.SMTP_SSL, _confined(http)), {})


def _is_private(sock: socket.socket | None, http: Http) -> bool:
    """May a password cross this connection? Encrypted, or inside this machine or an allowed network."""
    if sock is None or isinstance(sock, ssl.SSLSocket):
        return sock is not None
    peer = sock.getpeername()[0]
    return numeric(peer).is_loopback or http.targets.may_reach(peer, is_encrypted=False)


def _reply(error: smtplib.SMTPResponseException) -> tuple[int, bytes]:
    text = error.smtp_error
    return error.smtp_code, text if isinstance(text, bytes) else text.encode()


def _is_timeout(error: Exception) -> bool:
    """smtplib turns a time-out while reading into SMTPServerDisconnected."""
    return isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError)


def _unreachable(error: Exception) -> DeliveryError:
    """The error that a failure before MAIL FROM means. Nothing has been sent."""
    match error:
        case DeliveryError():
            return error
        case ssl.SSLCertVerificationError():
            return Misconfigured(
                f"the mail server's certificate is not trusted: {error.verify_message}", code="tls_certificate"
            )
        case smtplib.SMTPResponseException():
            return explain_reply("HELLO", *_reply(error))
        case smtplib.SMTPException() | OSError() if _is_timeout(error):
            return Retryable("the mail server does not answer", code="connect_timeout")
        case socket.gaierror():
            return Retryable("the name of the mail server cannot be resolved", code="dns")
        case ConnectionRefusedError():
            return Retryable("the mail server refuses connections on this port", code="connect_failed")
        case smtplib.SMTPException() | OSError():
            return Retryable("no connection to the mail server could be made", code="connect_failed")
    raise error
