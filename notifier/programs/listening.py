"""The socket that the web process takes connections from: its own, or an inherited one.

`up` opens the socket once and every web process it starts inherits it, so that connections made during a restart wait
in the socket's queue and are not refused. systemd can do the same (`Sockets=` and `web --fd 3`). Knows neither the
server nor its threads.
"""

import socket

BACKLOG = 1024  # connections that may wait to be taken; the kernel may allow fewer (net.core.somaxconn)


def bound(host: str, port: int, *, reuse_port: bool = False) -> socket.socket:
    """Holds the port; connections are refused until `listen(BACKLOG)`. Raises OSError."""
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of an earlier run may linger
        if reuse_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener


def inherited(descriptor: int) -> socket.socket:
    """The socket behind a file descriptor; programs that this process starts do not inherit it. Raises OSError."""
    listener = socket.socket(-1, fileno=descriptor)  # -1: of whichever family it is
    listener.set_inheritable(False)
    return listener
