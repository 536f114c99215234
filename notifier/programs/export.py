"""`export`: writes the events of a span of time to a file, for warehouses, as `GET /api/v1/events` shows them."""

import argparse
import importlib
import signal
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from notifier.app import create_app
from notifier.core.timestamps import timestamp
from notifier.ground import schema
from notifier.ground.clock import now
from notifier.ground.config import NotReady, Settings
from notifier.ground.database import UNAVAILABLE
from notifier.queries import events, shown_events
from notifier.sinks import files

_SHOWN_EVERY_S = 0.5
_STDOUT = "-"
_AGAIN = "\r\x1b[K"  # writes over the line of a terminal


class BadExport(Exception):
    """What was asked for makes no sense, in one sentence for people."""


def run(settings: Settings, options: argparse.Namespace) -> int:
    signal.signal(signal.SIGTERM, _end)  # so that no part of a file is left
    try:
        since = _moment("--since", options.since)
        until = _moment("--until", options.until) if options.until else now()
        if since >= until:
            raise BadExport("--since must be before --until, and in the past")
        make = _writer(options.format)
        if options.file == _STDOUT and options.format == "parquet" and sys.stdout.isatty():
            raise BadExport("Parquet is no text for a terminal: name a file, or pipe it on")
    except BadExport as error:
        print(f"{error}.", file=sys.stderr)
        return 2
    schema.require(settings.database_url)
    try:
        with create_app(settings).app_context():
            if options.file == _STDOUT:
                _export(make(sys.stdout.buffer), since, until)
                sys.stdout.buffer.flush()
            else:
                with files.whole(Path(options.file)) as out:
                    _export(make(out), since, until)
    except UNAVAILABLE as error:
        raise schema.DatabaseAway(settings.database_url, error) from error
    except BrokenPipeError:
        raise
    except OSError as error:
        print(f"{options.file} cannot be written: {error.strerror}.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


def _export(writer: files.Writer, since: datetime, until: datetime) -> None:
    oldest_at = events.oldest_at()
    if oldest_at is not None and since < oldest_at:
        print(f"Events before {timestamp(oldest_at, 'seconds')} are no longer kept (RETENTION).", file=sys.stderr)
    shows = sys.stderr.isatty()
    count, shown_at = 0, time.monotonic()
    for page in shown_events.between(since, until):
        writer.write(page)
        count += len(page)
        if shows and time.monotonic() - shown_at >= _SHOWN_EVERY_S:
            shown_at = time.monotonic()
            print(f"{_AGAIN}{count:,} events, up to {page[-1]['timestamp']}", end="", file=sys.stderr, flush=True)
    writer.end()
    print(f"{_AGAIN if shows else ''}{count:,} events.", file=sys.stderr)


def _writer(name: str) -> Callable[[IO[bytes]], files.Writer]:
    if name == "ndjson":
        return files.Ndjson
    try:
        parquet: Any = importlib.import_module("notifier.sinks.parquet")
    except ModuleNotFoundError as error:
        if error.name != "pyarrow":
            raise
        raise NotReady(
            "Parquet needs pyarrow, which is not installed: pip install -r requirements-parquet.lock"
        ) from None
    made: Callable[[IO[bytes]], files.Writer] = parquet.Parquet
    return made


def _moment(option: str, text: str) -> datetime:
    """An ISO 8601 date or time; UTC where it names no zone. Raises BadExport."""
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadExport(f"{option} must be a date or time like 2026-11-29 or 2026-11-29T08:30:00Z") from None


def _end(number: int, _frame: Any) -> None:
    raise SystemExit(128 + number)
