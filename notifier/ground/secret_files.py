"""Secrets that development generates, each in a file of its own.

Called by `ground.config` as it reads the settings.
"""

import os
from collections.abc import Callable
from pathlib import Path


def read_or_create(path: Path, make: Callable[[], str]) -> str:
    """The secret in `path`, made on first use, readable by its owner only. Two processes at once agree on one, and it
    is on the disk before anything is signed or encrypted with it.

    Raises OSError, and ValueError as `read` does.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(make())
            file.flush()
            os.fsync(descriptor)
        try:
            os.link(draft, path)  # fails when another process was first
        except FileExistsError:
            pass
        finally:
            draft.unlink()
        _keep_names(path.parent)
    return read(path)


def read(path: Path) -> str:
    """Raises OSError, and ValueError with the end of a sentence about a file that holds no secret: with an empty one
    everybody could sign.
    """
    try:
        text = path.read_text().strip()
    except UnicodeDecodeError:
        raise ValueError("is no text") from None
    if not text:
        raise ValueError("is empty")
    return text


def _keep_names(folder: Path) -> None:
    """A file's name outlasts a power cut once its folder is on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
