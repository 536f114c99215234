"""Networks of their own for processes: namespaces of Linux, joined by a cable that can be pulled. They end with the
process that made them. Only root can make them; elsewhere the test is skipped.
"""

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.running import installed

_CLONE_NEWNET = 0x40000000
_HERE = "/proc/thread-self/ns/net"
_CABLE = "cable"


class Network:
    """A loopback of its own, and `address` at the end of the cable."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._ip = installed("ip")
        script = f"{self._ip} link set lo up && echo there && read _"
        self._holder = subprocess.Popen(
            [installed("unshare"), "--net", "sh", "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout
        assert self._holder.stderr
        if self._holder.stdout.readline() != "there\n":
            pytest.skip(f"no network namespace can be made here: {self._holder.stderr.read().strip()}")
        self.path = f"/proc/{self._holder.pid}/ns/net"

    def join(self, other: "Network") -> None:
        """By a cable."""
        ends = f"{_CABLE} netns {self._holder.pid} type veth peer name {_CABLE} netns {other._holder.pid}"
        made = subprocess.run([self._ip, "link", "add", *ends.split()], capture_output=True, text=True)
        if made.returncode:
            pytest.skip(f"no networks can be joined here: {made.stderr.strip()}")
        for end in (self, other):
            with end.inside():
                subprocess.run([self._ip, "address", "add", f"{end.address}/24", "dev", _CABLE], check=True)
            end.plug_in()

    def plug_in(self) -> None:
        self._set("up")

    def pull(self) -> None:
        """Whatever is under way is lost, and neither side is told."""
        self._set("down")

    def _set(self, state: str) -> None:
        with self.inside():
            subprocess.run([self._ip, "link", "set", _CABLE, state], check=True)

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """This thread is in it, and so are the threads and programs that it starts."""
        outside = os.open(_HERE, os.O_RDONLY)
        try:
            enter(self.path)
            yield
        finally:
            _set_namespace(outside)
            os.close(outside)

    def end(self) -> None:
        self._holder.communicate("\n")


def enter(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        _set_namespace(descriptor)
    finally:
        os.close(descriptor)


def _set_namespace(descriptor: int) -> None:
    """Of this thread. `os.setns` comes with Python 3.12."""
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
