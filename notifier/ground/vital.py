"""No long-lived thread ends unnoticed: its process ends too, with an exit code that is not zero, and is restarted.

A thread that a process cannot do without runs its work through `kept`. A program calls `arm` after setting its handler
of SIGTERM, and returns `exit_code()`. In other programs (a stock `rq worker`, a test) the loss is only logged.
"""

import os
import signal
from collections.abc import Callable
from typing import ParamSpec

import structlog

EXIT_CODE = 70  # EX_SOFTWARE
STOP_WITHIN_S = 20  # a stop that hangs is cut off by the kernel

P = ParamSpec("P")

log = structlog.get_logger()


class _Process:
    is_armed = False
    has_lost = False


def arm() -> None:
    """From here on a loss ends this process, by the way of SIGTERM: what is in flight is finished."""
    _Process.is_armed = True


def exit_code() -> int:
    return EXIT_CODE if _Process.has_lost else 0


def lost(what: str, error: BaseException | None = None) -> None:
    """Something that runs for as long as the process has ended. From any thread."""
    log.critical("process.thread_lost", thread=what, exc_info=error)
    if not _Process.is_armed:
        return
    _Process.has_lost = True
    signal.alarm(STOP_WITHIN_S)
    os.kill(os.getpid(), signal.SIGTERM)


def kept(what: str, work: Callable[P, object], may_end: Callable[[], bool] = lambda: False) -> Callable[P, None]:
    """`work`, for a thread that is to run until `may_end`."""

    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            work(*args, **kwargs)
        except BaseException as error:
            if may_end():
                raise
            lost(what, error)
            return
        if not may_end():
            lost(what)

    return run
