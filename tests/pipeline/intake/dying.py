"""A process that expands a submission and dies in one of its chunks, with rows of it stored and not committed.

Arguments: the submission's id, and which chunk that is (1: the first of this process).
"""

import os
import signal
import sys
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from notifier.app import create_app
from notifier.ground.extensions import db
from notifier.pipeline.intake import chunks, expand

begun: list[str] = []


def die(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
    if statement.startswith("INSERT INTO delivery "):
        begun.append(statement)
        if len(begun) == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    with create_app().app_context():
        sa.event.listen(db.engine, "after_cursor_execute", die)
        chunks.CHUNK = chunks.CHUNK_IN_SQLITE  # with both databases
        expand.expand(UUID(sys.argv[1]))
