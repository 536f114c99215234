"""The HTTP/2 client against hypercorn, nginx and a server that follows a script: who gets which answer, who is told
that nobody knows, and what is sent again.
"""

import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hyperframe.frame import GoAwayFrame, RstStreamFrame

from notifier.channels.wire.http import Http
from notifier.channels.wire.http2 import Http2
from notifier.core.errors import DeliveryError, Misconfigured, Permanent, RateLimited, Retryable
from tests.channels.conftest import LOOPBACK
from tests.channels.http2 import Http2Sink, Peer, nginx, scripted

StartSink = Callable[..., Http2Sink]
Fault = tuple[type[DeliveryError], str, bool]


@pytest.fixture
def start_sink(authority: Any) -> Iterator[StartSink]:
    started: list[Http2Sink] = []

    def start(**options: Any) -> Http2Sink:
        started.append(Http2Sink(authority, **options))
        return started[-1]

    yield start
    for sink in started:
        sink.close()


@pytest.fixture
def connect(authority: Any) -> Iterator[Callable[..., Http2]]:
    """`connect(URL or port, read_s=…, **options)` → a client; when it is closed, none of its threads stays."""
    made: list[tuple[Http, Http2]] = []

    def make(url: str | int, *, allow: Any = LOOPBACK, read_s: float = 10.0, **options: Any) -> Http2:
        http = Http(allow, tls=authority.trusted(), read_s=read_s)
        made.append((http, Http2(http, url if isinstance(url, str) else f"https://127.0.0.1:{url}", **options)))
        return made[-1][1]

    yield make
    for http, client in made:
        client.close()
        http.close()
    wait_until(lambda: readers() == [])


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("http2")]


def wait_until(is_true: Callable[[], bool]) -> None:
    for _ in range(3000):
        if is_true():
            return
        time.sleep(0.01)
    raise AssertionError("it never became so")


def post(client: Http2, path: str = "/x", body: bytes = b"{}") -> str:
    """→ what was answered, or the fault."""
    try:
        return client.post(path, body, {}).body.decode()
    except Retryable as error:
        return f"{error.code}{' ambiguous' if error.ambiguous else ''}"


def fault(client: Http2, **options: Any) -> Fault:
    with pytest.raises(DeliveryError) as caught:
        client.post("/x", b"{}", {}, **options)
    return type(caught.value), caught.value.code, getattr(caught.value, "ambiguous", False)


def at_once(count: int, act: Callable[[int], str]) -> list[str]:
    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(act, range(count)))


# ---- one request ----------------------------------------------------------------------------------------------------


def test_a_request_arrives_as_it_was_given(start_sink: StartSink, connect: Any) -> None:
    sink = start_sink()
    sink.answers(200, {"apns-id": "A", "Retry-After": "7"}, b"yes")
    response = connect(f"https://127.0.0.1:{sink.port}/base/").post("/3/device/x", b'{"a":1}', {"X-One": "1"})
    assert (response.status, response.body) == (200, b"yes")
    assert (response.headers["Apns-Id"], response.headers["retry-after"]) == ("A", "7")
    [request] = sink.requests
    assert (request.method, request.path, request.body) == ("POST", "/base/3/device/x", b'{"a":1}')
    assert {name: request.headers[name] for name in ("user-agent", "x-one")} == {"user-agent": "Notifier", "x-one": "1"}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, (Permanent, "http_400", False)),
        (401, (Misconfigured, "http_401", False)),
        (429, (RateLimited, "http_429", False)),
        (500, (Retryable, "http_500", False)),
        (504, (Retryable, "http_504", True)),
    ],
)
def test_a_status_means_the_same_as_over_http_1(
    start_sink: StartSink, connect: Any, status: int, expected: Fault
) -> None:
    sink = start_sink()
    sink.answers(status)
    assert fault(connect(sink.port)) == expected


def test_an_empty_body_and_one_larger_than_the_servers_window_are_sent_whole(
    start_sink: StartSink, connect: Any
) -> None:
    sink = start_sink()
    client = connect(sink.port)
    for size in (0, 1, 16_384, 65_535, 65_536, 300_000):
        client.post("/x", b"b" * size, {})
    assert [len(request.body) for request in sink.requests] == [0, 1, 16_384, 65_535, 65_536, 300_000]


def test_an_answer_that_is_too_long_is_cut_and_the_connection_kept(start_sink: StartSink, connect: Any) -> None:
    sink = start_sink()
    client = connect(sink.port)
    for size in (65_536, 200_000):
        sink.answers(200, {}, b"a" * size)
        assert len(client.post("/x", b"", {}).body) == 65_536
    assert len({request.connection for request in sink.requests}) == 1


def test_a_header_that_is_more_than_ascii_is_refused(start_sink: StartSink, connect: Any) -> None:
    sink = start_sink()
    client = connect(sink.port)
    for path, headers in (("/x", {"A": "b\r\nc: d"}), ("/x", {"A": "ä"}), ("/x\r\ny", {})):
        with pytest.raises(ValueError, match="ASCII"):
            client.post(path, b"", headers)
    assert sink.requests == []


@pytest.mark.parametrize(
    "url",
    ["http://x.test", "https://", "https://.", "https://u:p@x.test", "https://x.test/?a", "x.test", "https://x:99999"],
)
def test_a_url_that_cannot_be_called_is_refused_from_the_start(http: Http, url: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Http2(http, url)


# ---- opening --------------------------------------------------------------------------------------------------------


def test_a_private_address_is_refused(start_sink: StartSink, connect: Any) -> None:
    sink = start_sink()
    assert fault(connect(sink.port, allow=[])) == (Permanent, "target_refused", False)
    assert sink.requests == []


def test_a_closed_port_is_not_ambiguous(connect: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        assert fault(connect(taken.getsockname()[1])) == (Retryable, "connect_failed", False)


def test_a_certificate_that_nobody_signed_is_not_ambiguous(start_sink: StartSink) -> None:
    client = Http2(Http(LOOPBACK), f"https://127.0.0.1:{start_sink().port}")
    assert fault(client) == (Retryable, "tls", False)


def test_a_server_of_http_1_is_our_misconfiguration(secure_sink: Any, connect: Any) -> None:
    assert fault(connect(secure_sink.port)) == (Misconfigured, "no_http2", False)


@pytest.mark.parametrize("greeting", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n" + b"x" * 100])
def test_a_server_that_does_not_greet_is_not_ambiguous(authority: Any, connect: Any, greeting: bytes) -> None:
    def greet_badly(peer: Peer) -> None:
        peer.connection.sendall(greeting)

    with scripted(authority, greet_badly) as url:
        assert fault(connect(url)) == (Retryable, "connect_failed", False)


def test_the_server_is_told_to_push_nothing(authority: Any, connect: Any) -> None:
    told: list[int] = []

    def look(peer: Peer) -> None:
        peer.greet()
        for stream_id in peer.requests():
            told.append(peer.h2.remote_settings.enable_push)
            peer.answer(stream_id)

    with scripted(authority, look) as url:
        post(connect(url))
    assert told == [0]


def test_those_who_wait_for_a_connection_share_its_failure(authority: Any, connect: Any) -> None:
    dialled = threading.Event()
    opened = []

    def hang_up(peer: Peer) -> None:
        opened.append(peer.number)
        dialled.wait(30)

    with scripted(authority, hang_up) as url:
        client = connect(url)
        with ThreadPoolExecutor(8) as threads:
            results = [threads.submit(post, client) for _ in range(8)]
            wait_until(lambda: client._room._waiters.__len__() == 7)
            dialled.set()
            assert [result.result() for result in results] == ["connect_failed"] * 8
    assert opened == [1]


# ---- many at once ---------------------------------------------------------------------------------------------------


def test_one_connection_serves_many_threads_and_each_gets_its_own_answer(start_sink: StartSink, connect: Any) -> None:
    sink = start_sink()
    sink.answer = lambda handler, request: sink.answering(200, {}, request.body)(handler, request)
    client = connect(sink.port)
    assert at_once(40, lambda n: post(client, body=str(n).encode())) == [str(n) for n in range(40)]
    assert len({request.connection for request in sink.requests}) == 1


def test_a_slow_stream_does_not_hold_the_others(start_sink: StartSink, connect: Any) -> None:
    sink = start_sink()
    sink.holds("/slow")
    client = connect(sink.port)
    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(post, client, "/slow")
        wait_until(lambda: len(sink.requests) == 1)
        assert [post(client) for _ in range(20)] == ["ok"] * 20
        assert not slow.done()
        sink.released.set()
        assert slow.result() == "ok"
    assert len({request.connection for request in sink.requests}) == 1


def test_more_connections_are_opened_by_load_up_to_the_bound(start_sink: StartSink, connect: Any) -> None:
    sink = start_sink()
    sink.holds()
    client = connect(sink.port, connections=3, streams_a_connection=4)
    with ThreadPoolExecutor(20) as threads:
        for count in range(1, 21):
            threads.submit(post, client)
            wait_until(lambda count=count: len(sink.requests) == count)  # type: ignore[misc]
        sink.released.set()
    by_connection = Counter(request.connection for request in sink.requests)
    assert sorted(by_connection.values()) == [6, 7, 7]


def test_no_more_streams_are_opened_than_the_server_allows(authority: Any, connect: Any) -> None:
    """One at first, as Apple's servers do, then three."""
    most = Counter[str]()

    def count(peer: Peer) -> None:
        peer.greet({SettingCodes.MAX_CONCURRENT_STREAMS: 1})
        held: list[int] = []
        for stream_id in peer.requests():
            held.append(stream_id)
            phase = "first" if stream_id == 1 else "then"
            most[phase] = max(most[phase], len(held))
            if stream_id == 1:
                time.sleep(0.05)  # for others to come, if they did
                peer.h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 3})
            if len(held) == 3 or stream_id in (1, 31):
                for each in held:
                    peer.answer(each)
                held.clear()

    with scripted(authority, count) as url:
        client = connect(url, connections=1)
        assert at_once(16, lambda _: post(client)) == ["{}"] * 16
    assert most == {"first": 1, "then": 3}


def test_when_all_connections_are_busy_it_waits_no_longer_than_allowed(start_sink: StartSink, connect: Any) -> None:
    sink = start_sink(h2_max_concurrent_streams=1)
    sink.holds()
    client = connect(sink.port, connections=1, wait_s=0.1)
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(post, client)
        wait_until(lambda: len(sink.requests) == 1)
        assert post(client) == "busy"
        sink.released.set()
        assert first.result() == "ok"


# ---- the server goes away -------------------------------------------------------------------------------------------


def goaway(last: int, code: int = 0) -> GoAwayFrame:
    return GoAwayFrame(0, last_stream_id=last, error_code=code)


def test_what_the_server_has_begun_with_is_answered_and_the_rest_sent_again_elsewhere(
    authority: Any, connect: Any
) -> None:
    seen: list[tuple[int, int]] = []

    def drain(peer: Peer) -> None:
        peer.greet()
        for stream_id in peer.requests():
            seen.append((peer.number, stream_id))
            if peer.number > 1:
                peer.answer(stream_id)
            elif stream_id == 7:
                peer.send(goaway(2**31 - 1))  # to come, as nginx and Apple say first
                peer.send(goaway(3))
                for each in (1, 3):
                    peer.answer(each)

    with scripted(authority, drain) as url:
        client = connect(url)
        assert at_once(4, lambda _: post(client)) == ["{}"] * 4
        assert Counter(number for number, _ in seen) == {1: 4, 2: 2}
        wait_until(lambda: len(readers()) == 1)  # the first connection has ended with its last answer


def test_a_goaway_without_answers_leaves_the_begun_ones_unknown(authority: Any, connect: Any) -> None:
    def leave(peer: Peer) -> None:
        peer.greet()
        for stream_id in peer.requests():
            if peer.number > 1:
                peer.answer(stream_id)
            elif stream_id == 7:
                peer.send(goaway(3, ErrorCodes.INTERNAL_ERROR))
                return

    with scripted(authority, leave) as url:
        client = connect(url)
        assert sorted(at_once(4, lambda _: post(client))) == ["no_answer ambiguous"] * 2 + ["{}"] * 2


def test_a_server_that_takes_nothing_is_not_asked_for_ever(authority: Any, connect: Any) -> None:
    tried: list[int] = []

    def refuse(peer: Peer) -> None:
        peer.greet()
        for _ in peer.requests():
            tried.append(peer.number)
            peer.send(goaway(0))

    with scripted(authority, refuse) as url:
        assert fault(connect(url)) == (Retryable, "refused_stream", False)
    assert tried == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (ErrorCodes.REFUSED_STREAM, "refused_stream"),
        (ErrorCodes.INTERNAL_ERROR, "stream_reset ambiguous"),
        (ErrorCodes.CANCEL, "stream_reset ambiguous"),
    ],
)
def test_a_stream_that_is_reset_was_taken_unless_the_server_says_otherwise(
    authority: Any, connect: Any, code: int, expected: str
) -> None:
    def reset(peer: Peer) -> None:
        peer.greet()
        for stream_id in peer.requests():
            if stream_id == 1:
                peer.send(RstStreamFrame(stream_id, error_code=code))
            else:
                peer.answer(stream_id)

    with scripted(authority, reset) as url:
        client = connect(url)
        assert (post(client), post(client)) == (expected, "{}")


def test_a_status_that_has_come_is_the_answer_whatever_becomes_of_the_body(authority: Any, connect: Any) -> None:
    def half(peer: Peer) -> None:
        peer.greet()
        for stream_id in peer.requests():
            peer.h2.send_headers(stream_id, [(":status", "200")])
            peer.h2.send_data(stream_id, b"ha")
            peer.flush()
            if stream_id == 3:
                return

    with scripted(authority, half) as url:
        client = connect(url, read_s=0.3)
        assert (post(client), post(client)) == ("ha", "ha")


def test_a_connection_that_dies_leaves_nobody_waiting(authority: Any, connect: Any) -> None:
    def die(peer: Peer) -> None:
        peer.greet()
        for stream_id in peer.requests():
            if peer.number > 1:
                peer.answer(stream_id)
            elif stream_id == 15:
                peer.abort()
                return

    with scripted(authority, die) as url:
        client = connect(url)
        assert at_once(8, lambda _: post(client)) == ["no_answer ambiguous"] * 8
        assert post(client) == "{}"


def test_a_request_that_was_not_sent_whole_is_not_ambiguous(authority: Any, connect: Any) -> None:
    def stop_reading(peer: Peer) -> None:
        peer.greet()
        for event in peer.events():
            if type(event).__name__ == "DataReceived":  # and its window is never opened again
                peer.abort()
                return

    with scripted(authority, stop_reading) as url:
        assert post(connect(url), body=b"b" * 100_000) == "connection_lost"


def test_frames_that_make_no_sense_end_the_connection_and_nothing_else(authority: Any, connect: Any) -> None:
    def babble(peer: Peer) -> None:
        peer.greet()
        for stream_id in peer.requests():
            if peer.number > 1:
                peer.answer(stream_id)
            else:
                peer.connection.sendall(b"\xff" * 100)

    with scripted(authority, babble) as url:
        client = connect(url)
        assert (post(client), post(client)) == ("no_answer ambiguous", "{}")


def deliver_each(client: Http2, count: int) -> list[str]:
    """As the pipeline does: what certainly did not go out is sent again."""

    def deliver(n: int) -> str:
        for _ in range(20):
            found = post(client, f"/{n}")
            if found in ("ok", ""):  # the status is the answer, also without its body
                return "ok"
            if "ambiguous" in found:
                return found
        raise AssertionError(found)

    with ThreadPoolExecutor(10) as threads:
        return list(threads.map(deliver, range(count)))


@pytest.mark.slow
def test_nginx_says_goodbye_every_five_requests_and_each_is_answered_once(
    sink: Any, connect: Any, authority: Any, tmp_path: Path
) -> None:
    sink.answers(200, {}, b"ok")
    with nginx(authority, sink.port, tmp_path) as url:
        client = connect(url)
        wait_until(lambda: post(client, "/up") == "ok")
        sink.requests.clear()
        assert deliver_each(client, 50) == ["ok"] * 50
    assert Counter(request.path for request in sink.requests) == {f"/{n}": 1 for n in range(50)}


@pytest.mark.slow
def test_hypercorn_says_goodbye_every_five_requests_and_none_is_sent_twice(start_sink: StartSink, connect: Any) -> None:
    """After its goodbye hypercorn answers nothing more, also what it has begun with. These are unknown, no others."""
    sink = start_sink(keep_alive_max_requests=5)
    sink.answers(200, {}, b"ok")
    results = deliver_each(connect(sink.port, read_s=0.5), 50)
    seen = Counter(request.path for request in sink.requests)
    assert set(seen.values()) == {1}
    assert {f"/{n}" for n, result in enumerate(results) if result == "ok"} <= set(seen)
    assert set(results) <= {"ok", "no_answer ambiguous", "timeout ambiguous"}


@pytest.mark.slow
def test_a_server_that_is_killed_leaves_what_it_had_begun_with_unknown(connect: Any, authority: Any) -> None:
    authority.server_for("127.0.0.1")
    pem = str(authority.place / "127.0.0.1.pem")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fd, port = listener.fileno(), listener.getsockname()[1]
        command = [
            sys.executable,
            "-m",
            "hypercorn",
            "-w",
            "0",
            "-b",
            f"fd://{fd}",
            "--certfile",
            pem,
            "--keyfile",
            pem,
        ]
        app = "tests.channels.http2:app_that_is_killed"
        with subprocess.Popen([*command, app], pass_fds=[fd], stderr=subprocess.DEVNULL) as server:
            try:
                client = connect(port, read_s=60.0)
                wait_until(lambda: post(client) == "ok")  # its start may take longer than a handshake is waited for
                assert at_once(4, lambda _: post(client)) == ["no_answer ambiguous"] * 4
                assert server.wait(10) == -signal.SIGKILL
            finally:
                server.kill()  # or nobody would hear what has failed


@pytest.mark.slow
def test_whoever_sends_while_a_connection_breaks_gets_an_answer_or_an_error_of_ours(
    authority: Any, connect: Any
) -> None:
    def break_soon(peer: Peer) -> None:
        peer.greet()
        for stream_id in peer.requests():
            peer.answer(stream_id)
            if stream_id >= 9:
                peer.connection.sendall(b"\xff" * 100)

    with scripted(authority, break_soon) as url:
        client = connect(url, connections=1)
        found = Counter(at_once(16, lambda _: " ".join({post(client) for _ in range(20)})))
    words = {word for line in found for word in line.split()}
    assert words <= {"{}", "no_answer", "ambiguous", "refused_stream", "connect_failed", "connection_lost"}


# ---- silence --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_silence_is_ambiguous_and_a_silent_connection_is_left(start_sink: StartSink, connect: Any) -> None:
    sink = start_sink()
    sink.hangs()
    client = connect(sink.port, read_s=1.0)  # a slow sink takes part of it to read the request
    assert post(client) == "timeout ambiguous"
    sink.answers(200, {}, b"ok")
    assert post(client) == "ok"
    assert len({request.connection for request in sink.requests}) == 2


@pytest.mark.slow
def test_a_connection_that_others_hear_of_is_kept_when_one_hangs(start_sink: StartSink, connect: Any) -> None:
    sink = start_sink()
    sink.holds("/slow")
    client = connect(sink.port, read_s=2.0)
    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(post, client, "/slow")
        wait_until(lambda: len(sink.requests) == 1)
        assert post(client) == "ok"
        assert slow.result() == "timeout ambiguous"
    assert post(client) == "ok"
    assert len({request.connection for request in sink.requests}) == 1


def test_an_idle_connection_is_pinged_and_kept_while_it_answers(authority: Any, connect: Any) -> None:
    pinged = threading.Event()
    connections = set()

    def serve(peer: Peer) -> None:
        connections.add(peer.number)
        peer.greet()
        for event in peer.events():
            if type(event).__name__ == "PingReceived":
                pinged.set()
            elif type(event).__name__ == "StreamEnded":
                peer.answer(event.stream_id)

    with scripted(authority, serve) as url:
        client = connect(url, read_s=0.3, ping_after_s=0.0)
        assert post(client) == "{}"
        assert pinged.wait(30)
        assert post(client) == "{}"
    assert connections == {1}


def test_an_idle_connection_that_does_not_answer_its_ping_is_left(authority: Any, connect: Any) -> None:
    numbers: list[int] = []

    def fall_silent(peer: Peer) -> None:
        numbers.append(peer.number)
        peer.greet()
        peer.answer(next(peer.requests()))
        while peer.number == 1 and peer.connection.recv(65536):
            pass

    with scripted(authority, fall_silent) as url:
        client = connect(url, read_s=0.2, ping_after_s=0.0)
        assert post(client) == "{}"
        wait_until(lambda: readers() == [])
        assert post(client) == "{}"
    assert numbers == [1, 2]


# ---- closing --------------------------------------------------------------------------------------------------------


def test_closing_lets_what_is_under_way_end_and_takes_nothing_more(start_sink: StartSink, connect: Any) -> None:
    sink = start_sink()
    sink.holds()
    client = connect(sink.port)
    with ThreadPoolExecutor(1) as threads:
        under_way = threads.submit(post, client)
        wait_until(lambda: len(sink.requests) == 1)
        client.close()
        assert post(client) == "closed"
        sink.released.set()
        assert under_way.result() == "ok"
    wait_until(lambda: readers() == [])
