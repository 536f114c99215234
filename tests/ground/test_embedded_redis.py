"""The embedded Redis listens in the state directory, wherever that is."""

import os
from pathlib import Path

from notifier.ground.embedded_redis import socket_path


def test_a_long_home_gets_a_short_private_socket(tmp_path: Path) -> None:
    assert socket_path(tmp_path) == tmp_path / "redis.sock"
    far = tmp_path / ("x" * 120)
    assert len(os.fsencode(socket_path(far))) <= 100
    assert socket_path(far) != socket_path(tmp_path / ("y" * 120))
