"""The real `socket.io-client` from npm, on Node.js: it connects with a token, receives, reads and syncs."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.realtime.test_gateway import token_of
from tests.running import ROOT

CLIENT = Path(__file__).with_name("node_client.mjs")


class Node:
    """`ask` says something to the client, `hear` is the next thing it tells: [what, said]."""

    def __init__(self, program: str, url: str, token: str) -> None:
        self.process = subprocess.Popen(
            [program, str(CLIENT), url, token], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, event: str, argument: Any = None) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps([event, argument]) + "\n")
        self.process.stdin.flush()

    def hear(self) -> Any:
        assert self.process.stdout
        return json.loads(self.process.stdout.readline())


@pytest.fixture
def node(url: str) -> Iterator[Callable[[str], Node]]:
    """`node(token)` starts a client."""
    program = shutil.which("node", path=f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}")
    if program is None or not (ROOT / "node_modules" / "socket.io-client").exists():
        reason = "needs Node.js and the packages of package.json: make setup"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    clients: list[Node] = []

    def _node(token: str) -> Node:
        clients.append(Node(program, url, token))
        return clients[-1]

    yield _node
    for client in clients:
        client.process.communicate(timeout=60)


def test_the_client_from_npm_receives_reads_and_syncs(node: Callable[[str], Node], arrive: Any) -> None:
    client = node(token_of("alice")["token"])
    assert client.hear() == ["connect", None]
    arrive("alice", title="First")
    what, told = client.hear()
    assert (what, told["item"]["title"], told["seq"], told["unread"]) == ("item", "First", 1, 1)
    client.ask("read", {"ids": [told["item"]["id"]]})
    heard = dict(client.hear() for _ in range(2))  # the event and the answer, in either order
    assert heard["answer"] == {"unread": 0, "unseen": 0, "seq": 2, "changed_ids": [told["item"]["id"]]}
    assert [item["read_at"] is not None for item in heard["state"]["changed"]] == [True]
    client.ask("leave")
    client.ask("return")
    assert client.hear() == ["connect", None]
    arrive("bob", title="Not for Alice")
    client.ask("sync", {"since": 1})
    what, told = client.hear()
    assert (what, [item["title"] for item in told["changed"]], told["seq"], told["unread"]) == (
        "answer",
        ["First"],
        2,
        0,
    )
    client.ask("sync", {"since": 2})
    assert client.hear()[1]["changed"] == []


@pytest.mark.parametrize("token", ["", "forged"])
def test_the_client_from_npm_is_refused_without_a_token_that_holds(node: Callable[[str], Node], token: str) -> None:
    assert node(token).hear() == ["refused", "unauthenticated"]
