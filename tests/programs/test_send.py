"""`send`: its words, the own installation, and one elsewhere."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask
from pytest_flask.live_server import LiveServer

from notifier.ground.clock import now
from notifier.ground.extensions import db
from notifier.models import Notification, Producer
from notifier.programs.arguments import read
from notifier.programs.send import BadWords, body_of
from tests.commands import run_command, run_here
from tests.running import free_port
from tests.wire import AGAIN, CLOSED, FOREIGN, LOST, Wire

ON_ONE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True, scope="session")


def body(*words: str) -> dict[str, Any]:
    made = body_of(read(["send", *words]))
    assert made.pop("idempotency_key")
    return made


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("order_shipped ann order_id=A1", {"type": "order_shipped", "recipients": ["ann"], "data": {"order_id": "A1"}}),
        ("like ann bob n:=3", {"type": "like", "recipients": ["ann", "bob"], "data": {"n": 3}}),
        ('like ann a:=[1,{"b":null}] c:="d" e=', {"data": {"a": [1, {"b": None}], "c": "d", "e": ""}}),
        ("like ann n=3 url=https://x.test/?a=b:=c", {"data": {"n": "3", "url": "https://x.test/?a=b:=c"}}),
        (
            "like ann --channel inapp --channel email --priority high",
            {"channels": ["inapp", "email"], "priority": "high"},
        ),
        ("like --channel inapp ann actor=Bob --at 2026-12-01T09:00:00Z x=y", {"data": {"actor": "Bob", "x": "y"}}),
        ("like ann --at 2026-12-01T09:00:00Z", {"send_at": "2026-12-01T09:00:00Z"}),
        ("like ann --email ann@x.test", {"recipients": [{"id": "ann", "email": "ann@x.test"}]}),
    ],
)
def test_words_become_the_body_of_the_call(words: str, expected: dict[str, Any]) -> None:
    made = body(*words.split())
    assert {name: made[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("like",), "name at least one person"),
        (("like", "ann", "n:=x"), "n:= needs JSON, such as n:=3 or n:=true; text is n=…"),
        (("like", "ann", "n:=NaN"), "n:= needs JSON"),
        (("like", "ann", "n:=" + "[" * 100_000), "n:= needs JSON"),
        (("like", "ann", "a=1", "a:=2"), "a is given twice"),
        (("like", "ann", "=1"), "a name is missing before '=1'"),
        (("like", "ann", "bob", "--email", "ann@x.test"), "name one"),
        (("like", "ann", "a=\udcff"), "UTF-8"),
    ],
)
def test_words_that_make_no_sense_are_named(words: tuple[str, ...], said: str) -> None:
    with pytest.raises(BadWords, match=r".*") as refused:
        body(*words)
    assert said in str(refused.value)


Send = Callable[..., tuple[int, str, str]]


@pytest.fixture
def send(environment: dict[str, str]) -> Send:
    """`send("like", "ann", NOTIFIER_URL="…")` → the exit code, what was printed, and what was said of faults."""

    def _send(*words: str, **changes: str) -> tuple[int, str, str]:
        done = run_command(("send", *words), {"PATH": os.environ["PATH"], **environment, **changes})
        return done.returncode, done.stdout, done.stderr

    return _send


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Send:
    """The same without an installation here, in this process."""
    for name in os.environ:
        if name.startswith("NOTIFIER_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("NOTIFIER_HOME", str(tmp_path / "none"))

    def _call(*words: str, **changes: str) -> tuple[int, str, str]:
        for name, value in changes.items():
            monkeypatch.setenv(name, value)
        code = run_here(["send", *words])
        assert not (tmp_path / "none").exists()
        return (code, *capsys.readouterr())

    return _call


@ON_ONE
@pytest.mark.slow
def test_the_own_installation_needs_no_key(app: APIFlask, send: Send) -> None:
    words = ("like", "zoe", "--email", "zoe@example.test", "actor=Bob", "--channel", "inapp", "--idempotency-key=once")
    code, said, faults = send(*words)
    assert (code, faults) == (0, "")
    line, link = said.splitlines()
    [notification] = db.session.scalars(sa.select(Notification))
    assert notification.user_id == "zoe"
    assert line == f"{link.rpartition('/')[2]}  zoe: inapp delivered"
    assert link.startswith("http://localhost/admin/notifications/ntf_")
    _, again, _ = send(*words, "--json")
    assert json.loads(again)["notifications"][0]["id"] == link.rpartition("/")[2]
    code, said, faults = send("like", "nobody", "actor=Bob")
    assert (code, said) == (1, "")
    assert faults.splitlines() == [
        "nobody: there is no user 'nobody'",
        "A new person needs an address: add --email or --phone.",
    ]
    [producer] = db.session.scalars(sa.select(Producer))
    producer.disabled_at = now()
    db.session.commit()
    code, _, faults = send("like", "zoe", "actor=Bob")
    assert (code, "switched off" in faults) == (1, True)
    code, _, faults = send("like", "zoe", DATABASE_URL=f"postgresql://127.0.0.1:{free_port()}/none")
    assert (code, "cannot be reached" in faults) == (os.EX_TEMPFAIL, True)


@pytest.fixture
def elsewhere(live_server: LiveServer, producer_key: str) -> dict[str, str]:
    return {"NOTIFIER_URL": live_server.url(), "NOTIFIER_KEY": producer_key}


REFUSALS = [
    (("order_shiped", "alice"), "TYPE: there is no event type 'order_shiped'; did you mean 'order_shipped'?"),
    (("order_shipped", "alice"), "order_id"),
    (("like", "nobody", "actor=Bob"), "nobody: there is no user 'nobody'\nA new person needs an address: add --email"),
    (("like", "alice", "actor=Bob", "--channel", "fax"), "--channel: there is no channel 'fax'"),
    (("like", "alice", "actor=Bob", "--priority", "soon"), "--priority: "),
    (("like", "alice", "actor=Bob", "--at", "soon"), "--at: "),
    (("like", "alice", "--email", "nonsense"), "alice --email: "),
    (("like", "a b", "actor=Bob"), "a b: "),
]


@pytest.mark.slow
@ON_ONE
def test_another_installation_is_called_with_a_key(
    call: Send, cast: dict[str, str], elsewhere: dict[str, str], wire_to: Callable[[str], Wire]
) -> None:
    wire = wire_to(elsewhere["NOTIFIER_URL"].rstrip("/"))
    wire.faults = [LOST, AGAIN]
    code, said, _ = call("like", "alice", "actor=Bob", "--channel", "inapp", **{**elsewhere, "NOTIFIER_URL": wire.url})
    line, link = said.splitlines()
    assert (code, line) == (0, f"{link.rpartition('/')[2]}  alice: inapp delivered")
    assert link.startswith(f"{wire.url}/admin/notifications/ntf_")
    assert db.session.scalar(sa.select(sa.func.count(Notification.id))) == 1
    for words, told in REFUSALS:
        code, said, faults = call(*words, **elsewhere)
        assert (code, said, told in faults) == (1, "", True), faults
    assert call("like", "alice", **{**elsewhere, "NOTIFIER_KEY": "ntf_live_wrong"})[0] == 1


@pytest.mark.parametrize("body", FOREIGN)
def test_what_a_proxy_refuses_is_told_in_a_line(call: Send, wire_to: Callable[[None], Wire], body: bytes) -> None:
    wire = wire_to(None)
    wire.faults = [(403, {}, body)]
    code, _, faults = call("like", "ann", NOTIFIER_URL=wire.url, NOTIFIER_KEY="k")
    assert (code, faults) == (1, f"{wire.url} answers 403, which Notifier does not.\n")


@pytest.mark.slow
def test_where_nobody_answers_it_says_that_it_may_be_tried_again(call: Send, wire_to: Callable[[None], Wire]) -> None:
    wire = wire_to(None)
    code, _, faults = call("like", "ann", NOTIFIER_URL=wire.url, NOTIFIER_KEY="k")
    assert (code, faults) == (1, f"{wire.url} answers 404, which Notifier does not.\n")
    wire.faults = [(503, {"Retry-After": "0"})] * 4
    assert call("like", "ann", NOTIFIER_URL=wire.url, NOTIFIER_KEY="k")[0] == os.EX_TEMPFAIL
    wire.faults = [CLOSED] * 4
    code, _, faults = call("like", "ann", NOTIFIER_URL=wire.url, NOTIFIER_KEY="k")
    assert (code, faults) == (os.EX_TEMPFAIL, "127.0.0.1 gives no answer (ProtocolError).\n")


@pytest.mark.parametrize(
    ("words", "changes", "said"),
    [
        ((), {"NOTIFIER_URL": "notifier.example"}, "must be the address of Notifier"),
        ((), {"NOTIFIER_URL": "http://[::1", "NOTIFIER_KEY": "k"}, "must be the address of Notifier"),
        ((), {"NOTIFIER_URL": "http://notifier.example:http", "NOTIFIER_KEY": "k"}, "must be the address of Notifier"),
        ((), {"NOTIFIER_URL": "https://notifier.example"}, "set NOTIFIER_KEY"),
        (("--key", "k"), {}, "--key is of no use without --url"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_sent(
    call: Send, words: tuple[str, ...], changes: dict[str, str], said: str
) -> None:
    code, _, faults = call("like", "ann", *words, **changes)
    assert (code, said in faults) == (2, True)
