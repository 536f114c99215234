"""The socket that the web process takes connections from: one of its own, or one that was handed to it.

`up` makes it once and hands it to each web process it starts, so that who calls while one is started anew waits in the
socket's queue and is not refused. So does systemd (`Sockets=` and `web --fd 3`). Knows neither the server nor its threads.
"""

import socket

BACKLOG = 1024  # connections that may wait to be taken; the kernel may allow fewer (net.core.somaxconn)


def bound(host: str, port: int, *, reuse_port: bool = False) -> socket.socket:
    """Has the port, and takes no connections until it is told to `listen(BACKLOG)`. Raises OSError."""
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
    """The one behind a file descriptor of this process; the programs it starts do not get it. Raises OSError when that is no socket."""
    listener = socket.socket(-1, fileno=descriptor)  # -1: of whichever family it is
    listener.set_inheritable(False)
    return listener
