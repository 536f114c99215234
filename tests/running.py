"""Runs `python -m notifier up` as a person would, and a Redis beside it, for the tests that need real processes."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from notifier.ground.config import ROOT
from notifier.programs.up import redis_server

KEY = "a-producer-key-for-tests-0123456789"
NAMES = {
    "valkey-server": "redis",
    "redis-server": "redis",
    "wsgi.py": "web",
    "-m notifier web": "web",
    "-m notifier worker": "worker",
    "-m notifier scheduler": "scheduler",
    "-m notifier sink": "sink",
    "-m notifier consume": "consume",
}
ALL = {"redis", "web", "worker", "scheduler"}


def eventually(question: Callable[[], Any], within_s: float = 180.0) -> Any:
    """The first answer that is true. The time is a safety net for a loaded machine, not what is tested."""
    give_up_at = time.monotonic() + within_s
    while not (answer := question()):
        if time.monotonic() > give_up_at:
            pytest.fail("it never came true")
        time.sleep(0.05)
    return answer


class Up:
    """One run of the supervisor and what can be asked of it."""

    key = KEY

    def __init__(self, home: Path, port: int, **environment: str) -> None:
        self.home, self.port = home, port
        self.log = home.parent / f"up-{time.monotonic_ns()}.log"
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
        self.environment = {
            **kept,
            "NOTIFIER_HOME": str(home),
            "PORT": str(port),
            "NOTIFIER_DEMO": "0",
            "NOTIFIER_PRODUCER_KEY": KEY,
            **environment,
        }
        with self.log.open("w") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "notifier", "up"], cwd=ROOT, env=self.environment, stdout=out, stderr=out
            )

    def until_ready(self) -> "Up":
        eventually(self.is_welcoming)
        return self

    def is_welcoming(self) -> bool:
        assert self.process.poll() is None, self.text()
        return "Notifier is ready" in self.text()

    def text(self) -> str:
        return self.log.read_text()

    def children(self) -> dict[str, int]:
        """Name → process id of what runs below it now."""
        lines = subprocess.run(
            ["ps", "-A", "-ww", "-o", "pid=,ppid=,stat=,args="], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        rows = [line.split(None, 3) for line in lines]
        mine = [
            (int(pid), args)
            for pid, parent, state, args in rows
            if int(parent) == self.process.pid and not state.startswith("Z")
        ]
        return {name: pid for pid, args in mine for part, name in NAMES.items() if part in args}

    def call(self, path: str, body: dict[str, Any] | None = None, method: str | None = None) -> dict[str, Any]:
        """Calls the API as a producer; GET without a body, POST with one, unless told. Raises for an answer that is no
        success.
        """
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        data = json.dumps(body).encode() if body else None
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", headers=headers, data=data, method=method
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def page(self, path: str, form: dict[str, str] | None = None) -> Any:
        """Opens a page, or posts a form to it, as somebody without cookies."""
        data = urllib.parse.urlencode(form).encode() if form else None
        return urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", data=data, timeout=30)

    def is_whole(self) -> bool:
        try:
            return bool(self.call("/readyz")["status"] == "ok")
        except OSError:
            return False

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)


class Redis:
    """An external Redis on a port of its own, to be stopped and started again with what it holds."""

    def __init__(self, place: Path) -> None:
        self.port = free_port()
        self.command = [
            str(redis_server()),
            "--port",
            str(self.port),
            "--dir",
            str(place),
            "--appendonly",
            "yes",
            "--save",
            "",
        ]
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL)
        client = redis.Redis.from_url(self.url)
        eventually(lambda: _answers(client))

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def hang(self) -> None:
        """Still there, and connections are taken, but nothing is answered until `wake`."""
        self.process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        self.process.send_signal(signal.SIGCONT)


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def installed(*names: str) -> str:
    """The path of a program of others, under the first of these names that there is. Without it the test is skipped; in
    CI, which installs it, that is a fault.
    """
    path = f"{os.environ.get('PATH', '')}:{Path(sys.executable).parent}:/usr/sbin"
    found = next(filter(None, (shutil.which(name, path=path) for name in names)), None)
    if found is None:
        reason = f"there is no {names[0]} on this machine (.ci/run installs it, on Debian)"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    return found
