"""The web process: HTTP and Socket.IO on green threads. Executed as a program by `python -m notifier web`.

The only file that knows which server and which green threads these are: everything else is plain
blocking code. Patching comes before every other import.
"""

import os
import warnings

os.environ.setdefault("EVENTLET_NO_GREENDNS", "yes")  # its own resolver breaks where dnspython is installed, and ours needs none
warnings.filterwarnings("ignore", r"\s*Eventlet is deprecated")  # known, and why this is the only file that names it

import eventlet

eventlet.monkey_patch()

import resource
import select
import signal
import socket
import sys
from contextlib import suppress

import eventlet.wsgi
import structlog
from eventlet.hubs import trampoline
from eventlet.support.greenlets import GreenletExit

from notifier import logs
from notifier.__main__ import explained
from notifier.app import create_app
from notifier.config import Settings
from notifier.starting import wait_for_app

MOST_CONNECTIONS = 20_000  # open WebSockets count
IDLE_S, SOCKET_S = 75, 60  # a silent WebSocket is noticed sooner, by the server's pings
DRAIN_S = 9.0
BACKLOG = 1024

log = structlog.get_logger()


def serve() -> int:
    """Serves until SIGTERM or SIGINT, then accepts nothing more and finishes what is in flight."""
    settings = Settings.from_env()
    logs.configure(as_json=settings.is_production)
    stop = _signalled(signal.SIGTERM, signal.SIGINT)
    app = wait_for_app(lambda: create_app(settings, async_mode="eventlet"), lambda: bool(select.select([stop], [], [], 0)[0]))
    if app is None:
        return 0
    _allow_many_files()
    try:
        listener = _listen(settings.host, settings.port, reuse_port="--reuse-port" in sys.argv)
    except OSError as error:
        print(f"Cannot listen on {settings.host}:{settings.port}: {error.strerror}.", file=sys.stderr)  # noqa: T201 (for a person at a terminal)
        return 1
    options = {"max_size": MOST_CONNECTIONS, "keepalive": IDLE_S, "socket_timeout": SOCKET_S, "log_output": False, "debug": False}
    server = eventlet.spawn(eventlet.wsgi.server, listener, app, **options)
    log.info("web.started", host=settings.host, port=settings.port)
    trampoline(stop, read=True)
    log.info("web.stopping")
    eventlet.kill(server)  # idle connections and WebSockets end now, requests in flight when answered
    listener.close()
    with eventlet.Timeout(DRAIN_S, False), suppress(GreenletExit):
        server.wait()
    log.info("web.stopped")
    return 0


def _signalled(*signals: signal.Signals) -> int:
    """A file descriptor that becomes readable at any of the signals: a handler alone would not wake the event loop."""
    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    for number in signals:
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    return readable


def _listen(host: str, port: int, *, reuse_port: bool) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    return eventlet.listen(address, family, backlog=BACKLOG, reuse_port=reuse_port)


def _allow_many_files() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if most == resource.RLIM_INFINITY else min(most, 65_536)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


if __name__ == "__main__":
    sys.exit(explained(serve))
