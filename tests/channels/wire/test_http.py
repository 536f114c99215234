"""The outbound HTTP client: what it refuses to reach, and what every kind of answer and silence amounts to."""

import ipaddress
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl

import pytest

from notifier.channels.wire import http as http_of_ours
from notifier.channels.wire.answers import (
    AMBIGUOUS,
    STATUSES,
    Response,
    explain,
    explain_code,
    not_understood,
    retry_after_s,
)
from notifier.channels.wire.http import Http, basic_auth, bearer
from notifier.channels.wire.http_response import INTERIM_ANSWERS
from notifier.channels.wire.targets import Targets
from notifier.core.errors import DeliveryError, InvalidRecipient, Misconfigured, Permanent, RateLimited, Retryable
from notifier.core.reasons import NOT_LISTED
from notifier.ground.target_lists import INSTALLATION, PRODUCER, TargetList

LARGE = 32_000_000  # bytes: more than a system takes before anybody has read
LOOPBACK = ipaddress.ip_network("127.0.0.0/8")

REFUSED = [
    "0.0.0.0", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254", "168.63.129.16",
    "169.254.169.254", "172.16.0.1",
    "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.1",
    "203.0.113.1", "224.0.0.1",
    "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1",
    "64:ff9b:1::1", "100::1",
    "2001::1", "2001:db8::1", "2002:7f00:1::", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1",
    "fe80::1%eth0", "fec0::1", "ff02::1",
]  # fmt: skip


class Names:
    """A name server of our own: host → its successive answers, the last of them for ever."""

    def __init__(self, **answers: list[list[tuple[str, int]]]) -> None:
        self.answers = {name.replace("_", "."): list(given) for name, given in answers.items()}
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> list[tuple[str, int]]:
        self.asked.append(host)
        answers = self.answers[host]
        return answers.pop(0) if len(answers) > 1 else answers[0]


MakeHttp = Callable[..., Http]


@pytest.fixture
def make_http(authority: Any) -> Iterator[MakeHttp]:
    made: list[Http] = []

    def make(*, allow: tuple[Any, ...] = (LOOPBACK,), **options: Any) -> Http:
        made.append(Http(allow, tls=authority.trusted(), **options))
        return made[-1]

    yield make
    for http in made:
        http.close()


def fault(error: DeliveryError) -> tuple[type[DeliveryError], str, bool]:
    return type(error), error.code, getattr(error, "ambiguous", False)


def post(http: Http, url: str, **options: Any) -> Response:
    return http.post(url, b"{}", {"Content-Type": "application/json"}, **options)


def failure(http: Http, url: str, **options: Any) -> tuple[type[DeliveryError], str, bool]:
    with pytest.raises(DeliveryError) as caught:
        post(http, url, **options)
    return fault(caught.value)


@pytest.mark.parametrize("address", REFUSED)
def test_an_address_off_the_public_internet_is_refused(address: str, make_http: MakeHttp) -> None:
    http = make_http(allow=(), resolve=lambda host, port: [(address, port)])
    assert failure(http, "https://shop.test/hook") == (Permanent, "target_refused", False)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::]",
    ],
)
def test_no_way_of_writing_this_machine_reaches_it(host: str, make_http: MakeHttp, secure_sink: Any) -> None:
    http = make_http(allow=())
    assert failure(http, f"https://{host}:{secure_sink.port}/") in {
        (Permanent, "target_refused", False),
        (Retryable, "dns", False),
    }
    assert secure_sink.requests == []


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.216.34", "100.128.0.1", "172.32.0.1", "2606:4700::1111", "2a00:1450:4001::1"]
)
def test_a_public_address_is_reached_by_https_only(address: str) -> None:
    targets = Http().targets
    assert (targets.may_reach(address, is_encrypted=True), targets.may_reach(address, is_encrypted=False)) == (
        True,
        False,
    )


def test_plain_http_to_a_public_address_is_refused(make_http: MakeHttp) -> None:
    http = make_http(resolve=lambda host, port: [("93.184.216.34", port)])
    assert failure(http, "http://shop.test/hook") == (Permanent, "target_refused", False)


def test_an_allowed_network_is_reached_by_plain_http(make_http: MakeHttp, sink: Any) -> None:
    assert post(make_http(), f"http://127.0.0.1:{sink.port}/hook?a=1").status == 200
    assert [(r.method, r.path, r.body) for r in sink.requests] == [("POST", "/hook?a=1", b"{}")]


def test_only_the_allowed_network_is_opened(make_http: MakeHttp) -> None:
    http = make_http(allow=(ipaddress.ip_network("10.1.0.0/16"),), resolve=lambda host, port: [("10.2.0.1", port)])
    assert failure(http, "https://shop.test/") == (Permanent, "target_refused", False)


def test_of_several_addresses_only_a_permitted_one_is_reached(make_http: MakeHttp, secure_sink: Any) -> None:
    http = make_http(resolve=lambda host, port: [("10.0.0.1", port), ("::1", port), ("127.0.0.1", secure_sink.port)])
    assert post(http, "https://shop.test/hook").status == 200


def test_the_connection_goes_to_the_address_that_was_checked(make_http: MakeHttp, secure_sink: Any) -> None:
    """The name answers differently every time, as a rebinding attacker's does; a second look would be refused, or go
    astray.
    """
    names = Names(shop_test=[[("127.0.0.1", secure_sink.port)], [("10.0.0.1", 443)]])
    http = make_http(resolve=names)
    assert post(http, "https://shop.test/hook").status == 200
    assert names.asked == ["shop.test"]
    http.close()
    assert failure(http, "https://shop.test/hook") == (Permanent, "target_refused", False)
    assert len(secure_sink.requests) == 1


def test_the_host_header_and_the_certificate_are_of_the_name_not_the_address(
    make_http: MakeHttp, secure_sink: Any
) -> None:
    http = make_http(resolve=lambda host, port: [("127.0.0.1", secure_sink.port)])
    post(http, "https://shop.test/hook")
    assert secure_sink.requests[0].headers["host"] == "shop.test"


def test_a_certificate_for_another_name_is_refused(make_http: MakeHttp, secure_sink: Any, authority: Any) -> None:
    wrong = authority.server_for("other.test")
    authority.contexts["shop.test", None], kept = wrong, authority.contexts.pop(("shop.test", None), None)
    try:
        http = make_http(resolve=lambda host, port: [("127.0.0.1", secure_sink.port)])
        assert failure(http, "https://shop.test/hook") == (Retryable, "tls", False)
    finally:
        del authority.contexts["shop.test", None]
        authority.contexts |= {("shop.test", None): kept} if kept else {}
    assert secure_sink.requests == []


def test_an_unknown_authority_is_refused(secure_sink: Any) -> None:
    http = Http((LOOPBACK,), resolve=lambda host, port: [("127.0.0.1", secure_sink.port)])
    assert failure(http, "https://shop.test/hook") == (Retryable, "tls", False)
    assert secure_sink.requests == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_a_failure_and_is_not_followed(status: int, make_http: MakeHttp, sink: Any) -> None:
    sink.answers(status, {"Location": f"http://127.0.0.1:{sink.port}/elsewhere"})
    assert failure(make_http(), f"http://127.0.0.1:{sink.port}/hook") == (Permanent, f"http_{status}", False)
    assert [r.path for r in sink.requests] == ["/hook"]


def test_a_proxy_in_the_environment_is_not_used(
    make_http: MakeHttp, sink: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert post(make_http(), f"http://127.0.0.1:{sink.port}/").status == 200


def test_a_connection_is_used_again_and_its_name_is_not_asked_for_again(make_http: MakeHttp, secure_sink: Any) -> None:
    names = Names(shop_test=[[("127.0.0.1", secure_sink.port)]])
    http = make_http(resolve=names)
    for _ in range(3):
        post(http, "https://shop.test/hook")
    assert (len({r.connection for r in secure_sink.requests}), names.asked) == (1, ["shop.test"])


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (200, {}, None),
        (202, {}, None),
        (204, {}, None),
        (301, {}, (Permanent, "http_301", False)),
        (400, {}, (Permanent, "http_400", False)),
        (401, {}, (Misconfigured, "http_401", False)),
        (403, {}, (Misconfigured, "http_403", False)),
        (404, {}, (Permanent, "http_404", False)),
        (408, {}, (Retryable, "http_408", False)),
        (410, {}, (Permanent, "http_410", False)),
        (422, {}, (Permanent, "http_422", False)),
        (425, {}, (Retryable, "http_425", False)),
        (429, {}, (RateLimited, "http_429", False)),
        (500, {}, (Retryable, "http_500", False)),
        (502, {}, (Retryable, "http_502", False)),
        (503, {}, (Retryable, "http_503", False)),
        (503, {"retry-after": "7"}, (RateLimited, "http_503", False)),
        (504, {}, (Retryable, "http_504", True)),
    ],
)
def test_each_status_means_one_thing(status: int, headers: dict[str, str], expected: Any) -> None:
    error = explain(Response(status, headers, b""))
    assert (error and fault(error)) == expected


def test_an_adapter_may_know_better(make_http: MakeHttp, sink: Any) -> None:
    sink.answers(404)
    own = {**STATUSES, 404: InvalidRecipient}
    url = f"http://127.0.0.1:{sink.port}/"
    assert failure(make_http(), url, explain=lambda response: explain(response, own)) == (
        InvalidRecipient,
        "http_404",
        False,
    )


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7), (" 7 ", 7), ("0", 1), ("86400", 3600), ("9" * 400, 3600), ("-5", 1), ("soon", 5), ("", 5),
        ("1.5", 1.5), ("nan", 5), ("²", 5), (None, 5),
        ("Tue, 01 Dec 2026 09:00:30 GMT", 30), ("Tue, 01 Dec 2026 08:00:00 GMT", 1),
        ("Fri, 01 Jan 2027 00:00:00 GMT", 3600),
        ("Tue, 99 Dec 2026 09:00:30 GMT", 5),
    ],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date_and_bounded(value: str | None, seconds: float, time_machine: Any) -> None:
    time_machine.move_to("2026-12-01T09:00:00Z", tick=False)
    error = explain(Response(429, {} if value is None else {"retry-after": value}, b""))
    assert isinstance(error, RateLimited)
    assert error.retry_after == seconds


@pytest.mark.parametrize(
    ("headers", "told", "seconds"),
    [
        ({"x-ratelimit-reset": "1796115630"}, None, 30),  # Unix seconds, as SendGrid has it
        ({"x-ratelimit-reset": "1796110000"}, None, 1),
        ({"x-ratelimit-reset": "soon"}, None, 5),
        ({"retry-after": "7", "x-ratelimit-reset": "1796115630"}, None, 7),
        ({"retry-after": "7"}, 64.57, 64.57),  # in the body, as Discord has it
        ({"retry-after": "7"}, "8", 8),
        ({"retry-after": "7"}, {"no": "number"}, 7),
        ({}, 1e9, 3600),
    ],
)
def test_how_long_to_wait_is_found_wherever_a_provider_says_it(
    headers: dict[str, str], told: object, seconds: float, time_machine: Any
) -> None:
    time_machine.move_to("2026-12-01T09:00:00Z", tick=False)
    assert retry_after_s(Response(429, headers, b""), told=told) == seconds


CODES: dict[str | int, Any] = {21211: InvalidRecipient, "throttled": RateLimited, 30008: AMBIGUOUS}


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (400, 21211, (InvalidRecipient, "21211", False)),
        (200, 21211, (InvalidRecipient, "21211", False)),  # several providers say "failed" inside a 200
        (200, "throttled", (RateLimited, "throttled", False)),
        (500, 30008, (Retryable, "30008", True)),
        (200, None, None),
        (200, "something new", (Retryable, "something new", True)),
        (400, "something new", (Permanent, "something new", False)),
        (401, None, (Misconfigured, "http_401", False)),
        (503, "something new", (Retryable, "something new", False)),
    ],
)
def test_a_providers_own_code_goes_before_the_status(status: int, code: Any, expected: Any) -> None:
    error = explain_code(code, Response(status, {}, b""), CODES)
    assert (error and fault(error)) == expected


@pytest.mark.parametrize("body", [b"", b"Queued", b"[1]", b'"x"', b"{", b"[" * 100_000, b"\xff"])
def test_a_body_that_is_no_json_object_reads_as_an_empty_one(body: bytes) -> None:
    assert Response(200, {}, body).json() == {}


def test_a_success_that_is_not_as_documented_may_have_sent_the_message() -> None:
    assert fault(not_understood(Response(200, {}, b"<html>"))) == (Retryable, "not_understood", True)


def test_head_and_body_arrive_in_one_packet(make_http: MakeHttp) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        first: list[bytes] = []

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                first.append(connection.recv(65_536))
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

        receiver = threading.Thread(target=answer)
        receiver.start()
        make_http().post(f"http://127.0.0.1:{server.getsockname()[1]}/", b"the body", {})
        receiver.join()

    assert first[0].endswith(b"\r\n\r\nthe body")


def test_a_receiver_may_be_slow_to_read_what_is_long(make_http: MakeHttp) -> None:
    """It has as long as for its answer: a batch of events that is given up is sent anew, and given up again."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        came: list[int] = []

        def read_late() -> None:
            connection, _ = server.accept()
            with connection:
                time.sleep(0.5)
                left = LARGE
                while left > 0 and (part := connection.recv(1 << 20)):
                    left -= len(part)
                came.append(left)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

        receiver = threading.Thread(target=read_late)
        receiver.start()
        http = make_http(connect_s=0.2)
        http.post(f"http://127.0.0.1:{server.getsockname()[1]}/", b"x" * LARGE, {})
        receiver.join()
    assert came[0] <= 0


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_large_bodies_arrive_whole_over_one_connection(
    make_http: MakeHttp, sink: Any, secure_sink: Any, scheme: str
) -> None:
    receiver = {"http": sink, "https": secure_sink}[scheme]
    http = make_http(resolve=lambda host, port: [("127.0.0.1", receiver.port)])
    bodies = [bytes([number]) * 2_000_000 for number in range(3)]
    for body in bodies:
        http.post(f"{scheme}://shop.test/hook", body, {})
    assert [request.body for request in receiver.requests] == bodies
    assert len({request.connection for request in receiver.requests}) == 1


def test_a_connection_that_was_idle_for_long_is_not_used_again(
    make_http: MakeHttp, sink: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A router may have forgotten it, and then nobody would know whether the message has arrived."""
    http, url = make_http(), f"http://127.0.0.1:{sink.port}/"
    post(http, url)
    post(http, url)
    monkeypatch.setattr(http_of_ours, "LONGEST_IDLE_S", 0.0)
    post(http, url)
    first, second, third = [request.connection for request in sink.requests]
    assert first == second != third


def test_json_and_forms_arrive_as_they_were_given(make_http: MakeHttp, sink: Any) -> None:
    url, odd = f"http://127.0.0.1:{sink.port}/", 'ä€😀 "&=+\ud800'
    make_http().post_json(url, {"text": odd}, {})
    make_http().post_form(url, {"text": odd}, {})
    one, other = sink.requests
    assert one.headers["content-type"] == "application/json; charset=utf-8"
    assert json.loads(one.body) == {"text": odd.replace("\ud800", "?")}
    assert other.headers["content-type"] == "application/x-www-form-urlencoded"
    assert dict(parse_qsl(other.body.decode())) == {"text": odd.replace("\ud800", "?")}


def test_a_token_that_no_header_can_hold_is_our_misconfiguration() -> None:
    assert bearer("SG.x") == {"Authorization": "Bearer SG.x"}
    assert basic_auth("AC1", "p:ä") == {"Authorization": "Basic QUMxOnA6w6Q="}
    for broken in ("", "SG.x\n", "SG.ä"):
        with pytest.raises(Misconfigured):
            bearer(broken)


@pytest.mark.parametrize(
    "value", ["a\r\nX-Evil: 1", "a\nX-Evil: 1", "a\r\n folded", "a\n\tfolded", "a\x00", "a\x7f", "ü", "\u2028"]
)
def test_no_text_becomes_a_header_of_its_own(value: str, make_http: MakeHttp, sink: Any) -> None:
    with pytest.raises(ValueError, match="header"):
        make_http().post(f"http://127.0.0.1:{sink.port}/", b"{}", {"X-Text": value})
    assert sink.requests == []


def test_headers_are_found_whatever_their_case(make_http: MakeHttp, sink: Any) -> None:
    sink.answers(429, {"RETRY-AFTER": "9"})
    with pytest.raises(RateLimited) as caught:
        post(make_http(), f"http://127.0.0.1:{sink.port}/")
    assert caught.value.retry_after == 9


def test_silence_after_the_body_was_sent_is_ambiguous(make_http: MakeHttp, sink: Any) -> None:
    sink.hangs()
    assert failure(make_http(read_s=0.1), f"http://127.0.0.1:{sink.port}/") == (Retryable, "timeout", True)


def test_hanging_up_after_the_body_was_sent_is_ambiguous(make_http: MakeHttp, sink: Any) -> None:
    sink.hangs_up()
    assert failure(make_http(), f"http://127.0.0.1:{sink.port}/") == (Retryable, "no_answer", True)


def test_an_answer_that_is_no_http_is_ambiguous(make_http: MakeHttp, sink: Any) -> None:
    def mumble(handler: Any, _: Any) -> None:
        handler.wfile.write(b"* OK IMAP4rev1 ready\r\n")
        handler.close_connection = True

    sink.answer = mumble
    assert failure(make_http(), f"http://127.0.0.1:{sink.port}/") == (Retryable, "no_answer", True)


def after(interim: bytes, final: bytes = b"HTTP/1.1 410 Gone\r\nContent-Length: 2\r\n\r\nno") -> Any:
    return lambda handler, _: handler.wfile.write(interim + final)


@pytest.mark.parametrize(
    "interim",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 102 Processing\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nRetry-After: 99\r\n\r\n",
        b"HTTP/1.1 199 Ours\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n",
        b"HTTP/1.1 102 Processing\r\n\r\n" * INTERIM_ANSWERS,
    ],
)
def test_interim_answers_are_passed_over(interim: bytes, make_http: MakeHttp, sink: Any) -> None:
    http = make_http()
    url = f"http://127.0.0.1:{sink.port}/"
    sink.answer = after(interim)
    assert failure(http, url) == (Permanent, "http_410", False)
    sink.answer = after(interim, b"HTTP/1.1 200 OK\r\nX-Id: 1\r\nContent-Length: 2\r\n\r\nok")
    answer = post(http, url)
    assert (answer.status, answer.headers["x-id"], answer.headers.get("link"), answer.body) == (200, "1", None, b"ok")
    assert len({request.connection for request in sink.requests}) == 1


@pytest.mark.parametrize("code", [100, 102, 103])
def test_interim_answers_without_end_are_no_answer(code: int, make_http: MakeHttp, sink: Any) -> None:
    sink.answer = after(f"HTTP/1.1 {code} Wait\r\n\r\n".encode() * (INTERIM_ANSWERS + 1))
    assert failure(make_http(), f"http://127.0.0.1:{sink.port}/") == (Retryable, "no_answer", True)


def test_no_other_protocol_is_switched_to(make_http: MakeHttp, sink: Any) -> None:
    sink.answer = after(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", b"")
    assert failure(make_http(), f"http://127.0.0.1:{sink.port}/") == (Permanent, "http_101", False)


def test_an_answer_that_trickles_in_is_given_up(make_http: MakeHttp, sink: Any) -> None:
    """Every byte comes well within the time-out of a read; the answer as a whole would take ten seconds, and then be a
    success.
    """

    def trickle(handler: Any, _: Any) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: ")
        for _ in range(100):
            handler.wfile.write(b"x")
            sink.released.wait(0.1)
        handler.wfile.write(b"\r\n\r\n")

    sink.answer = trickle
    assert failure(make_http(total_s=0.5), f"http://127.0.0.1:{sink.port}/") == (Retryable, "timeout", True)


def test_a_body_that_never_ends_does_not_undo_a_success(make_http: MakeHttp, sink: Any) -> None:
    def start(handler: Any, _: Any) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nnot all")
        sink.released.wait(30)

    sink.answer = start
    assert post(make_http(read_s=0.1), f"http://127.0.0.1:{sink.port}/").status == 200


def test_no_more_of_an_answer_is_read_than_the_limit(make_http: MakeHttp, sink: Any) -> None:
    sink.answers(200, body=b"x" * 1_000_000)
    assert post(make_http(longest_answer=1000), f"http://127.0.0.1:{sink.port}/").body == b"x" * 1000


def test_a_compressed_answer_is_not_unpacked(make_http: MakeHttp, sink: Any) -> None:
    sink.answers(200, {"Content-Encoding": "gzip"}, body=b"\x1f\x8b not really")
    assert post(make_http(), f"http://127.0.0.1:{sink.port}/").body == b"\x1f\x8b not really"
    assert "gzip" not in sink.requests[0].headers.get("accept-encoding", "")


def test_a_closed_port_is_not_ambiguous(make_http: MakeHttp) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but not listening
        assert failure(make_http(), f"http://127.0.0.1:{taken.getsockname()[1]}/") == (
            Retryable,
            "connect_failed",
            False,
        )


def test_a_handshake_that_does_not_come_is_not_ambiguous(make_http: MakeHttp) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/"
        assert failure(make_http(connect_s=0.1), url) == (Retryable, "connect_timeout", False)


def test_a_name_that_does_not_resolve_is_tried_again(make_http: MakeHttp) -> None:
    def fail(host: str, port: int) -> list[tuple[str, int]]:
        raise socket.gaierror(socket.EAI_AGAIN, "later")

    assert failure(make_http(resolve=fail), "https://shop.test/") == (Retryable, "dns", False)


@pytest.mark.parametrize(
    "url",
    [
        "https://",
        "https://[::1",
        "https://x:99999/",
        "ftp://shop.test/",
        "https://" + "a" * 64 + ".test/",
        "file:///etc/passwd",
    ],
)
def test_a_url_that_is_none_is_refused_for_good(url: str, make_http: MakeHttp) -> None:
    assert failure(make_http(), url) == (Permanent, "target_refused", False)


def test_the_path_of_a_url_is_never_logged(make_http: MakeHttp, sink: Any, caplog: pytest.LogCaptureFixture) -> None:
    """In the URL of a Slack webhook the path is the secret."""
    caplog.set_level(logging.DEBUG)
    post(make_http(), f"http://127.0.0.1:{sink.port}/services/T0/B0/s3cret")

    def answer_badly(handler: Any, _: Any) -> None:  # which urllib3 would warn of, quoting the URL
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n")
        handler.close_connection = True

    sink.answer = answer_badly
    post(make_http(), f"http://127.0.0.1:{sink.port}/services/T0/B0/s3cret")
    assert "s3cret" not in caplog.text


ALLOWED = (ipaddress.ip_network("10.1.0.0/16"),)


@pytest.mark.parametrize(
    ("url", "allowed", "may_be_meant"),
    [
        ("https://hooks.example.com/x", (), True),
        ("https://93.184.216.34/", (), True),
        ("https://10.0.0.1/", (), False),
        ("https://[::1]/", (), False),
        ("https://[::ffff:169.254.169.254]/", (), False),
        ("http://hooks.example.com/x", (), False),  # plain http leads nowhere but into allowed networks
        ("http://hooks.example.com/x", ALLOWED, True),
        ("http://10.1.2.3/", ALLOWED, True),
        ("http://10.2.2.3/", ALLOWED, False),
    ],
)
def test_what_can_be_told_of_a_url_without_looking_it_up(
    url: str, allowed: tuple[Any, ...], may_be_meant: bool
) -> None:
    assert Targets(allowed).may_be_meant(url) is may_be_meant


def listed(*texts: str, whose: str = INSTALLATION) -> TargetList:
    return TargetList.parse(whose, texts)


def test_what_a_list_leaves_out_is_refused_at_every_step(make_http: MakeHttp, secure_sink: Any) -> None:
    """By its name before it is looked up, and by its address when it is connected to; a redirect leads nowhere."""
    names = Names(shop_test=[[("127.0.0.1", secure_sink.port)]])
    http = make_http(resolve=names)
    for lists in ([listed("other.test")], [listed("shop.test"), listed("other.test", whose=PRODUCER)], [listed()]):
        with http.within(tuple(lists)):
            assert failure(http, "https://shop.test/hook") == (Permanent, NOT_LISTED, False)
    assert names.asked == []
    with http.within((listed("10.0.0.0/8"),)):
        assert failure(http, "https://shop.test/hook") == (Permanent, NOT_LISTED, False)
    assert secure_sink.requests == []
    for entry in ("shop.test", "127.0.0.0/8"):
        with http.within((listed(entry),)):
            assert post(http, "https://shop.test/hook").status == 200
            secure_sink.answers(302, {"Location": "https://other.test/"})
            assert failure(http, "https://shop.test/hook") == (Permanent, "http_302", False)
            secure_sink.answers(200)
    assert post(http, "https://shop.test/hook").status == 200


def test_no_list_opens_a_private_network(make_http: MakeHttp, secure_sink: Any) -> None:
    http = make_http(allow=(), resolve=lambda host, port: [("127.0.0.1", secure_sink.port)])
    with http.within((listed("shop.test", "127.0.0.0/8"),)):
        assert failure(http, "https://shop.test/hook") == (Permanent, "target_refused", False)


def test_a_connection_of_one_list_serves_no_other(make_http: MakeHttp, secure_sink: Any) -> None:
    """The name has moved since: what was kept open leads where the other list does not allow."""
    names = Names(shop_test=[[("127.0.0.1", secure_sink.port)], [("10.0.0.1", secure_sink.port)]])
    http = make_http(resolve=names, allow=(LOOPBACK, ipaddress.ip_network("10.0.0.0/8")))
    with http.within((listed("127.0.0.0/8"),)):
        assert post(http, "https://shop.test/hook").status == 200
        with http.within((listed("192.0.2.0/24"),)):
            assert failure(http, "https://shop.test/hook") == (Permanent, NOT_LISTED, False)
        assert post(http, "https://shop.test/hook").status == 200
    assert names.asked == ["shop.test", "shop.test"]


@pytest.mark.parametrize(
    "host", ["2130706433", "0x7f.1", "127.1", "[::ffff:127.0.0.1]", "shop.test.", "SHOP.test", "127.0.0.1"]
)
def test_no_spelling_passes_a_list_that_leaves_it_out(host: str, make_http: MakeHttp, sink: Any) -> None:
    http = make_http(resolve=lambda host, port: [("127.0.0.1", sink.port)])
    with http.within((listed("*.test", "10.0.0.0/8"), listed("other.test", "192.0.2.0/24", whose=PRODUCER))):
        assert failure(http, f"http://{host}:{sink.port}/") == (Permanent, NOT_LISTED, False)
    assert sink.requests == []
