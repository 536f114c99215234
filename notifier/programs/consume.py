"""`consume`: takes events from a message bus and submits them. Any number may run, on any number of machines.

It is a plain process: the clients of the buses have threads of their own, and know nothing of green ones.
"""

import argparse
import secrets
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog
from flask import Flask

from notifier.access import keys
from notifier.api import messages
from notifier.api.field_map import read_map
from notifier.app import create_app
from notifier.bus.source import Away, Source, source_of
from notifier.ground import logs, vital
from notifier.ground.bus_urls import BusTarget, parse_bus
from notifier.ground.config import NotReady, Settings
from notifier.ground.database import UNAVAILABLE
from notifier.ground.secret_files import read_or_create
from notifier.programs import metrics_port
from notifier.programs.consume_loop import Consumer
from notifier.programs.sink import pause
from notifier.programs.starting import exposition_of, wait_for_app

PATIENCE_S = 15.0  # with a bus that has never answered yet
_LOOK_S = 1.0

log = structlog.get_logger()


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Raises NotReady."""
    logs.configure(as_json=settings.is_production, level=settings.log_level)
    stopping: list[int] = []

    def stop(number: int, _frame: Any) -> None:
        stopping.append(number)

    def is_stopping() -> bool:
        return bool(stopping)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    target = target_of(settings, options.url)
    if target is None:  # a Procfile names every kind of process
        log.warning("consume.has_nothing_to_do", remedy="set CONSUME_URL, or do not run this process")
        while not is_stopping():
            pause(_LOOK_S, is_stopping)
        return 0
    names = read_map(options.map) if options.map else None
    key = key_of(settings)
    source = source_of(target)
    open_first(source, target, is_stopping)
    app = wait_for_app(lambda: create_app(settings), is_stopping)
    if app is None:
        source.close()
        return 0
    admit(app, settings, key, is_stopping)
    vital.arm()
    metrics_port.serve(settings, exposition_of(app), options.metrics_fd)
    log.info("consume.started", bus=target.name, at=target.shown)
    Consumer(app, source, target.name, key, names, is_stopping).work()
    source.close()
    log.info("consume.stopped", bus=target.name)
    return vital.exit_code()


def target_of(settings: Settings, url: str | None) -> BusTarget | None:
    """The argument's bus, or that of CONSUME_URL. Raises NotReady."""
    if url is None:
        return settings.consume_url
    try:
        return parse_bus(url)
    except ValueError as error:
        raise NotReady(f"The bus's URL {error}.") from None


def key_of(settings: Settings) -> str:
    """The plain key of the producer in whose name messages are taken. Raises NotReady."""
    if settings.consume_key:
        return settings.consume_key
    if settings.is_production:
        raise NotReady(
            "Set CONSUME_KEY to the key of the producer in whose name messages are taken in: "
            "python -m notifier create-producer NAME --scope notify"
        )
    path = key_file(settings)
    try:
        return read_or_create(path, lambda: f"ntf_live_{secrets.token_urlsafe(32)}")
    except OSError as error:
        raise NotReady(f"CONSUME_KEY is kept in {path}, which cannot be written: {error.strerror}.") from None
    except ValueError as error:
        raise NotReady(f"CONSUME_KEY is kept in {path}, which {error}: delete it, and another one is made.") from None


def key_file(settings: Settings) -> Path:
    """Where the key stands that development makes."""
    return settings.notifier_home / "consume_key"


def open_first(source: Source, target: BusTarget, is_stopping: Callable[[], bool]) -> None:
    """A bus that does not answer at first may be starting, too. Raises NotReady."""
    give_up_at = time.monotonic() + PATIENCE_S
    while not is_stopping():
        try:
            source.open()
            return
        except Away as error:
            log.warning("consume.bus_is_away", bus=target.name, code=error.code)
            if time.monotonic() >= give_up_at:
                raise NotReady(
                    f"{target.shown} cannot be reached ({error.code}): correct the URL, or start the bus."
                ) from None
        pause(_LOOK_S, is_stopping)


def admit(app: Flask, settings: Settings, key: str, is_stopping: Callable[[], bool]) -> None:
    """Looks at the key once, while somebody may be watching. Raises NotReady."""
    while not is_stopping():
        with app.app_context():
            try:
                if not settings.consume_key:
                    keys.ensure_key(key, producer_name="Message bus", scopes=[messages.SCOPE])
                messages.identity(key)
                return
            except messages.KeyRefused as error:
                raise NotReady(
                    f"Messages cannot be taken in with CONSUME_KEY: {error}. "
                    "A new one: python -m notifier create-producer NAME --scope notify"
                ) from None
            except UNAVAILABLE as error:
                log.warning("consume.database_is_away", error=type(error).__name__)
        pause(_LOOK_S, is_stopping)
