"""The one outbound HTTP client, for every provider and every URL that a user gave.

It pools connections, limits time and size, and follows no redirects, retries nothing and uses no proxy from the
environment. A host name is resolved once per connection, and the connection goes to exactly the address that was
checked, so a name that resolves differently a moment later gains nothing. Failures are raised as `core.errors`.
"""

import base64
import http.client
import json
import logging
import re
import socket
import ssl
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any
from urllib.parse import urlencode

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, LocationValueError

from notifier.channels.wire.answers import Explain, Response, explain
from notifier.channels.wire.http_response import TimedResponse
from notifier.channels.wire.targets import Targets
from notifier.core.errors import Misconfigured, Permanent, Retryable
from notifier.core.networks import Network
from notifier.core.reasons import NOT_LISTED
from notifier.ground.target_lists import Lists, leaves_out, refuses, sentence

# urllib3 writes whole URLs into its log, and in the URL of a Slack webhook the path is the secret.
logging.getLogger("urllib3").setLevel(logging.ERROR)

_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")  # http.client lets folded lines through

SETS_OF_LISTS = 50  # of webhook targets, whose connections are kept open
HOSTS = 200  # whose connections are kept open
CONNECTIONS_A_HOST = 200  # as many as one channel may have in flight
ADDRESSES_TRIED = 3
LONGEST_IDLE_S = 60.0  # of a kept connection; routers forget one after some minutes, without a word

Resolve = Callable[[str, int], Sequence[tuple[str, int]]]


def basic_auth(user: str, password: str) -> dict[str, str]:
    """The header (RFC 7617)."""
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def bearer(token: str) -> dict[str, str]:
    """The header (RFC 6750). Raises Misconfigured for a token that no header can hold."""
    if not token or not _HEADER_VALUE.fullmatch(token):
        raise Misconfigured("the key is empty, or holds something other than printable ASCII", code="bad_credentials")
    return {"Authorization": f"Bearer {token}"}


def resolve(host: str, port: int) -> Sequence[tuple[str, int]]:
    """The numeric addresses of a host. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys((str(info[4][0]), int(info[4][1])) for info in found))


def check_headers(headers: Mapping[str, str]) -> None:
    """Raises ValueError for one that is not printable ASCII: text has to be encoded by the adapter."""
    if not all(map(_HEADER_VALUE.fullmatch, headers.values())):
        raise ValueError("a header contains something other than printable ASCII")


def no_answer(code: str = "no_answer") -> Retryable:
    """The request was on its way, and nobody knows how far it came."""
    return Retryable("there was no answer, but the message may have arrived", code=code, ambiguous=True)


@contextmanager
def opening() -> Iterator[None]:
    """Raises a DeliveryError for whatever prevents a connection: nothing has been sent."""
    try:
        yield
    except TimeoutError:
        raise Retryable("the TLS handshake took too long", code="connect_timeout") from None
    except ssl.SSLCertVerificationError as error:
        raise Retryable(f"the server's certificate is not trusted: {error.verify_message}", code="tls") from None
    except (ssl.SSLError, urllib3.exceptions.SSLError, ssl.CertificateError):
        raise Retryable("the TLS handshake failed, or the certificate is not trusted", code="tls") from None
    except OSError:
        raise Retryable("the connection was closed while it was opened", code="connect_failed") from None


class Http:
    """`allow`: private networks that may be reached, by plain http too. `total_s` bounds how long an answer may trickle
    in. `is_confined`: mail servers, too, have to be on the public internet or in `allow`.
    """

    def __init__(
        self,
        allow: Iterable[Network] = (),
        *,
        resolve: Resolve = resolve,
        tls: ssl.SSLContext | None = None,
        connect_s: float = 3.0,
        read_s: float = 10.0,
        total_s: float = 30.0,
        longest_answer: int = 65_536,
        is_confined: bool = False,
    ) -> None:
        self.targets = Targets(allow)
        self.tls = tls or ssl.create_default_context()
        self._given_tls = tls
        self.connect_s = connect_s
        self.read_s = read_s
        self.longest_answer = longest_answer
        self.is_confined = is_confined
        self._resolve, self._total_s = resolve, total_s
        self._dialler = _Dialler(self.targets, resolve)
        self._pools = self._new_pools(self._dialler)
        self._within = threading.local()
        self._pools_within: OrderedDict[Lists, _Pools] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def within(self, lists: Lists) -> Iterator[None]:
        """What this thread requests inside leads to what all the lists of webhook targets name; anything else raises
        Permanent (NOT_LISTED). Each set of lists has connections of its own: one that was opened under other lists may
        lead anywhere.
        """
        before = getattr(self._within, "lists", ())
        self._within.lists = lists
        try:
            yield
        finally:
            self._within.lists = before

    def post(
        self,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        explain: Explain = explain,
        read_s: float | None = None,
    ) -> Response:
        return self.request("POST", url, body=body, headers=headers, explain=explain, read_s=read_s)

    def post_json(self, url: str, value: object, headers: Mapping[str, str], *, explain: Explain = explain) -> Response:
        body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
        return self.post(url, body, {"Content-Type": "application/json; charset=utf-8", **headers}, explain=explain)

    def post_form(
        self, url: str, fields: Mapping[str, str], headers: Mapping[str, str], *, explain: Explain = explain
    ) -> Response:
        body = urlencode(fields, errors="replace").encode()
        return self.post(url, body, {"Content-Type": "application/x-www-form-urlencoded", **headers}, explain=explain)

    def request(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        explain: Explain = explain,
        read_s: float | None = None,
    ) -> Response:
        """A successful answer. Raises a DeliveryError: what `explain` makes of the answer, or of there being none.

        ValueError for a header that is not printable ASCII: text has to be encoded by the adapter.
        """
        check_headers(headers or {})
        response = self._exchange(method, url, body, headers or {}, read_s or self.read_s)
        error = explain(response)
        if error is not None:
            raise error
        return response

    @cached_property
    def tls_http2(self) -> ssl.SSLContext:
        """Offers HTTP/2 (by ALPN, RFC 7301) and trusts whom `tls` trusts. In that one urllib3 sets what it offers
        itself, at each connection.
        """
        given = self._given_tls
        tls = ssl.create_default_context(cadata=b"".join(given.get_ca_certs(binary_form=True)) if given else None)
        tls.set_alpn_protocols(["h2"])
        return tls

    def dial(self, host: str, port: int) -> socket.socket:
        """A connection to a checked address, for a protocol that is always encrypted and that urllib3 does not speak.
        Raises a DeliveryError.
        """
        options = HTTPSConnection.default_socket_options
        return self._dialler.dial(host, port, is_encrypted=True, timeout=self.connect_s, options=options)

    def close(self) -> None:
        self._pools.clear()
        for pools in self._pools_within.values():
            pools.clear()

    def _new_pools(self, dialler: "_Dialler") -> "_Pools":
        sizes = {"num_pools": HOSTS, "maxsize": CONNECTIONS_A_HOST}
        return _Pools(dialler, self._total_s, **sizes, ssl_context=self.tls)

    def _pools_for(self, url: str) -> "_Pools":
        """Those of this thread's lists. Raises Permanent for a host that they leave out."""
        lists: Lists = getattr(self._within, "lists", ())
        if not lists:
            return self._pools
        if whose := leaves_out(lists, urllib3.util.parse_url(url).host or ""):
            raise Permanent(sentence(whose), code=NOT_LISTED)
        with self._lock:
            if lists not in self._pools_within:
                self._pools_within[lists] = self._new_pools(_Dialler(self.targets, self._resolve, lists))
            self._pools_within.move_to_end(lists)
            if len(self._pools_within) > SETS_OF_LISTS:
                self._pools_within.popitem(last=False)[1].clear()
            return self._pools_within[lists]

    def _exchange(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], read_s: float
    ) -> Response:
        try:
            raw = self._pools_for(url).urlopen(
                method,
                url,
                body=body,
                headers={"User-Agent": "Notifier", **headers},
                timeout=urllib3.Timeout(connect=self.connect_s, read=read_s),
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
        except (LocationValueError, UnicodeError):
            raise Permanent("the URL cannot be understood", code="target_refused") from None
        except (HTTPError, http.client.HTTPException, OSError) as error:
            # Connecting raises errors of its own (_Dialler), so here the request was on its way.
            code = "timeout" if isinstance(error, urllib3.exceptions.TimeoutError | TimeoutError) else "no_answer"
            raise no_answer(code) from None
        return Response(raw.status, raw.headers, _read(raw, self.longest_answer))


def _read(raw: urllib3.BaseHTTPResponse, longest: int) -> bytes:
    """The body as far as it is wanted or arrives: the status is the answer.
    What is left unread closes the connection.
    """
    body = b""
    try:
        body = raw.read(longest + 1, decode_content=False)
    except (HTTPError, http.client.HTTPException, OSError):
        raw.close()
    if len(body) > longest:
        raw.close()
    raw.release_conn()
    return body[:longest]


class _Dialler:
    """Opens sockets: resolves, checks, connects to the checked address. Its errors all mean that nothing was sent."""

    def __init__(self, targets: Targets, resolve: Resolve, lists: Lists = ()) -> None:
        self.targets = targets
        self.resolve = resolve
        self.lists = lists

    def dial(self, host: str, port: int, *, is_encrypted: bool, timeout: Any, options: Any) -> socket.socket:
        try:
            found = self.resolve(host, port)
        except UnicodeError:
            raise Permanent("the host name is not one", code="target_refused") from None
        except OSError:
            raise Retryable(f"{host} cannot be resolved", code="dns") from None
        allowed = [target for target in found if self.targets.may_reach(target[0], is_encrypted=is_encrypted)]
        if not allowed:
            raise Permanent(f"{host} is not on the public internet, or not reached by https", code="target_refused")
        refused = {target: refuses(self.lists, host, target[0]) for target in allowed}
        allowed = [target for target in allowed if refused[target] is None]
        if not allowed:
            raise Permanent(sentence(next(filter(None, refused.values()))), code=NOT_LISTED)
        code, why = "", f"no connection to {host} could be made"
        for target in allowed[:ADDRESSES_TRIED]:
            try:
                return urllib3.util.connection.create_connection(target, timeout, socket_options=options)
            except TimeoutError:
                code, why = "connect_timeout", f"{host} does not answer on port {port}"
            except ConnectionRefusedError:
                code, why = "connect_failed", f"{host} refuses connections on port {port}"
            except OSError:
                code, why = "connect_failed", f"no connection to {host} could be made"
        raise Retryable(why, code=code)


class _Pools(urllib3.PoolManager):
    def __init__(self, dialler: _Dialler, total_s: float, **options: Any) -> None:
        super().__init__(**options)
        self.dialler = dialler
        self.total_s = total_s

    def _new_pool(
        self, scheme: str, host: str, port: int, request_context: dict[str, Any] | None = None
    ) -> urllib3.HTTPConnectionPool:
        pool = super()._new_pool(scheme, host, port, request_context)
        pool.ConnectionCls = {"http": _Connection, "https": _SecureConnection}[scheme]
        pool.conn_kw |= {"dialler": self.dialler, "total_s": self.total_s}
        return pool


class _Checked:
    """Mixed into urllib3's connections: a checked socket underneath, head and body of a request in one packet, and an
    answer that cannot trickle in for ever.
    """

    is_encrypted = False
    response_class: Any
    sock: Any
    _unsent: list[bytes] | None = None  # of the request that is being written
    _used_at = 0.0

    def __init__(self, *args: Any, dialler: _Dialler, total_s: float, **options: Any) -> None:
        super().__init__(*args, **options)
        self.dialler = dialler
        self.total_s = total_s
        self.response_class = partial(TimedResponse, total_s=total_s)

    def _new_conn(self: Any) -> socket.socket:
        return self.dialler.dial(  # type: ignore[no-any-return]
            self._dns_host, self.port, is_encrypted=self.is_encrypted, timeout=self.timeout, options=self.socket_options
        )

    def connect(self) -> None:
        with opening():
            super().connect()  # type: ignore[misc]

    def request(self, *args: Any, **options: Any) -> None:
        """As two packets, head and body cost a system call more here, and wake the receiver twice."""
        unsent: list[bytes] = []
        self._unsent = unsent
        try:
            super().request(*args, **options)  # type: ignore[misc]
        finally:
            self._unsent = None
        if self.sock is None:
            self.connect()
        # urllib3 goes by the time for connecting, in which a busy receiver may not read what is long
        self.sock.settimeout(self.total_s)
        self.send(b"".join(unsent))
        self._used_at = time.monotonic()

    @property
    def is_connected(self) -> bool:
        """What goes into a forgotten one may have arrived, as far as anybody knows."""
        is_fresh = time.monotonic() - self._used_at < LONGEST_IDLE_S
        return is_fresh and super().is_connected  # type: ignore[misc]

    def send(self, data: Any) -> None:
        if self._unsent is None:
            super().send(data)  # type: ignore[misc]
        else:
            self._unsent.append(data)


class _Connection(_Checked, HTTPConnection):
    pass


class _SecureConnection(_Checked, HTTPSConnection):
    is_encrypted = True
