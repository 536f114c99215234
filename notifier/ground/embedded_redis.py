"""Where the embedded Redis listens.

Called by `ground.config` for its URL and by `programs.up`, which runs it.
"""

import os
import tempfile
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

_LONGEST_SOCKET_PATH = 100  # sun_path holds 104 bytes on macOS and 108 on Linux


def socket_path(home: Path) -> Path:
    """Of its socket: in the state directory, or, its path being too long for a socket, in a private
    temporary one.
    """
    path = home / "redis.sock"
    if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
        return path
    return (
        Path(tempfile.gettempdir())
        / f"notifier-{os.getuid()}-{sha256(os.fsencode(home)).hexdigest()[:12]}"
        / "redis.sock"
    )


def url(home: Path) -> str:
    """As redis-py reads it."""
    return f"unix://{quote(str(socket_path(home)))}"
