"""One person with a full inbox, in a browser and another: how long each action takes, and how soon the other knows.

Each action is done over HTTP as the inbox component does it, and then undone, so that it always meets the same inbox.
"""

import argparse
import http.client
import json
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from bench import load
from bench.listen import NAMESPACE, connect

MANY = 1_000  # as many ids as one call takes
_TIMES, _FEW_TIMES = 20, 5
_PER_SECOND = 50


class Person:
    """Calls the inbox's API by a token over one connection, and remembers how long every kind of call took."""

    def __init__(self, port: int, token: str) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self.took_s: dict[str, list[float]] = {}

    def ask(self, method: str, path: str, body: Any = None, *, kind: str | None = None) -> Any:
        begun = time.monotonic()
        self.connection.request(
            method, f"/api/v1/inbox{path}", None if body is None else json.dumps(body), self.headers
        )
        answer = self.connection.getresponse()
        content = answer.read()
        if kind:
            self.took_s.setdefault(kind, []).append(time.monotonic() - begun)
        if answer.status != 200:
            raise RuntimeError(f"{method} {path}: {answer.status} {content[:300]!r}")
        return json.loads(content)

    def mark(self, mark: str, kind: str | None = None, **body: Any) -> Any:
        return self.ask("POST", f"/{mark}", body, kind=kind)

    def ids(self, filter: str, count: int) -> list[str]:
        """The newest so many of a list."""
        found: list[str] = []
        after = ""
        while len(found) < count:
            page = self.ask("GET", f"?filter={filter}&limit=200{after}")
            found += [item["id"] for item in page["data"]]
            if page["next"] is None:
                break
            after = f"&after={page['next']}"
        return found[:count]


LISTS = {
    "list": "?limit=30",
    "list_unread": "?filter=unread&limit=30",
    "list_archived": "?filter=archived&limit=30",
    "list_category": "?category=marketing&limit=30",
    "list_rare_category": "?filter=unread&category=social&limit=30",
    "list_absent_category": "?category=system&limit=30",
    "search": "?q=on+its+way&limit=30",
    "search_one": "?q=order+A7+&limit=30",
    "search_nothing": "?q=nowhere&limit=30",
}


def look(person: Person) -> None:
    for kind, query in LISTS.items():
        for _ in range(_TIMES):
            person.ask("GET", query, kind=kind)
    for kind, back in (("changes", 500), ("changes_few", 5)):
        for _ in range(_TIMES):
            seq = person.ask("GET", "?limit=1")["seq"]
            person.ask("GET", f"/changes?since={seq - back}", kind=kind)


def act(person: Person) -> None:
    """One item and a thousand by every mark, and back."""
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    for name, count, times in (("", 1, _TIMES), (f"_{MANY}", MANY, _FEW_TIMES)):
        ids = person.ids("unread", count)
        for _ in range(times):
            person.mark("read", f"read{name}", ids=ids)
            person.mark("unread", f"unread{name}", ids=ids)
            person.mark("archive", f"archive{name}", ids=ids)
            person.mark("unarchive", f"unarchive{name}", ids=ids)
            person.mark("snooze", f"snooze{name}", ids=ids, until=tomorrow)
            person.mark("snooze", ids=ids, until=None)


def act_on_all(person: Person, unread: int) -> None:
    """Everything unread in one call; given back by ids."""
    ids = person.ids("unread", unread)
    for _ in range(_FEW_TIMES):
        person.mark("read", "read_all", all=True, filter="unread")
        for start in range(0, len(ids), MANY):
            person.mark("unread", ids=ids[start : start + MANY])
    person.mark("seen", "seen_all")


def follow(port: int, token: str, person: Person, times: int) -> list[float]:
    """An item read in one tab, and when the other has heard."""
    wire = connect(port, token)
    wire.settimeout(60)
    heard_at: dict[int, float] = {}

    def listen() -> None:
        while len(heard_at) < times:
            packet = str(wire.recv())
            if packet == "2":
                wire.send("3")
            elif packet.startswith(f"42{NAMESPACE},"):
                heard_at[json.loads(packet.partition(",")[2])[1]["seq"]] = time.monotonic()

    listening = threading.Thread(target=listen, daemon=True)
    listening.start()
    ids = person.ids("unread", 1)
    latencies: list[tuple[int, float]] = []
    for number in range(times):
        begun = time.monotonic()
        latencies.append((person.mark("unread" if number % 2 else "read", ids=ids)["seq"], begun))
        time.sleep(max(0.0, 1 / _PER_SECOND - (time.monotonic() - begun)))
    listening.join(10)
    wire.close()
    return [heard_at[seq] - begun for seq, begun in latencies if seq in heard_at]


def main() -> None:
    parser = argparse.ArgumentParser(description="Reads a token on its input, in JSON.")
    parser.add_argument("what", choices=["actions", "follow"])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--unread", type=int, default=0)
    parser.add_argument("--times", type=int, default=200)
    given = parser.parse_args()
    token: str = json.loads(sys.stdin.readline())
    person = Person(given.port, token)
    person.ask("GET", "")
    if given.what == "follow":
        latencies = follow(given.port, token, person, given.times)
        print(json.dumps({"heard": len(latencies), **load.percentiles(latencies)}), flush=True)
        return
    works: tuple[Callable[[], None], ...] = (
        lambda: look(person),
        lambda: act(person),
        lambda: act_on_all(person, given.unread),
    )
    for work in works:
        work()
    print(json.dumps({kind: load.percentiles(took) for kind, took in person.took_s.items()}), flush=True)


if __name__ == "__main__":
    main()
