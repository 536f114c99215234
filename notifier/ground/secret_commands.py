"""Secrets that a command prints: a KMS, a vault, a password manager. Called by `ground.variables` as settings are read.

The command is the operator's. It gets the process's environment and no input; what it prints is kept in memory alone,
and its errors are not passed on, since nobody knows what stands in them.
"""

import os
import shlex
import signal
import subprocess
from collections.abc import Mapping

LONGEST_S = 30.0


def printed_by(command: str, environ: Mapping[str, str], longest_s: float = LONGEST_S) -> str:
    """What the command prints, without white space around it. It is split as a shell would, and run without one.

    Raises ValueError with the end of a sentence that says why there is none.
    """
    try:
        words = shlex.split(command)
    except ValueError:
        raise ValueError("cannot be read: a quotation mark is missing") from None
    if not words:
        raise ValueError("names no command")
    try:
        process = subprocess.Popen(
            words,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # so that all it has started can be ended
        )
    except OSError as error:
        raise ValueError(f"cannot be run: {error.strerror}") from None
    try:
        out, _ = process.communicate(timeout=longest_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise ValueError(f"has not ended within {longest_s:g} seconds") from None
    if process.returncode:
        raise ValueError(f"has failed (exit status {process.returncode}); run it by hand to see why")
    try:
        text = out.decode().strip()
    except UnicodeDecodeError:
        raise ValueError("has printed something that is not UTF-8") from None
    if not text:
        raise ValueError("has printed nothing")
    return text
