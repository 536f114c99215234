"""Structured logs: one event name with ids as fields, one line per stage (`log.info("delivery.sent", delivery=…)`).

Configured once per process: JSON in production, readable text in development; libraries' log lines get the same form.
`bind` puts a request's id on every line until `unbind`. Our lines hold ids, names, codes and counts: no address, token
or secret, and nothing that somebody wrote; `log_texts` takes these out of exceptions and of the lines of libraries.
docs/logs.md lists the events.
"""

import contextlib
import logging
import sys
import threading
from collections.abc import Iterator, Sequence
from select import PIPE_BUF
from types import TracebackType
from typing import Any

import structlog
from structlog.types import EventDict, Processor

from notifier.ground.log_texts import trace_of, without_secrets

# Heard from warnings upwards; urllib3 less: see channels.http. (Authlib, debugging, would say the tokens it issues.)
QUIET = ("engineio", "socketio", "rq", "alembic", "werkzeug", "authlib", "botocore")

REQUEST_ID = "notifier.request_id"  # in WSGI's environment

log = structlog.get_logger()


def _trace(_logger: Any, _name: str, event: EventDict) -> EventDict:
    """What `exc_info` says becomes `exception`."""
    given = event.pop("exc_info", None)
    error = given[1] if isinstance(given, tuple) else given
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, BaseException):
        event["exception"] = trace_of(error)
    return event


def _clean(_logger: Any, _name: str, event: EventDict) -> EventDict:
    event["event"] = without_secrets(str(event["event"]))
    return event


_AS_JSON: tuple[Processor, ...] = (_trace, structlog.processors.JSONRenderer())

_gathered = threading.local()  # `lines`: those of the thread that are to go out together


class _JsonLines:
    """Renders events and writes them to stderr, each with its newline in one write. As with `logging`, an event that
    cannot be rendered or written breaks nothing.
    """

    def __init__(self, *_: Any) -> None: ...

    def write(self, **event: Any) -> None:
        try:
            line: Any = event
            for render in _AS_JSON:
                line = render(self, "", line)
            lines = getattr(_gathered, "lines", None)
            if lines is None:
                _write(f"{line}\n")
            else:
                lines.append(f"{line}\n")
        except Exception:
            logging.getLogger(__name__).exception("log.line_lost")

    debug = info = warning = error = critical = write


class _Handler(logging.Handler):
    """For the lines of libraries. (Not `logging`'s own, which keeps the stderr of its beginning.)"""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            _write(f"{self.format(record)}\n")
        except Exception:
            self.handleError(record)


def _write(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


@contextlib.contextmanager
def at_once() -> Iterator[None]:
    """The JSON lines of this thread within it go out together at its end, in a few writes. Each write hands the
    interpreter to another thread, and waits to get it back.
    """
    lines: list[str] = []
    _gathered.lines = lines
    try:
        yield
    finally:
        _gathered.lines = None
        # As with `logging`: a line that cannot be written breaks nothing
        with contextlib.suppress(OSError, ValueError):
            for text in _joined(lines):
                _write(text)


def _joined(lines: Sequence[str]) -> Iterator[str]:
    """As many whole lines (ASCII) as a pipe takes at once: else lines of other processes may come in between."""
    text = ""
    for line in lines:
        if text and len(text) + len(line) > PIPE_BUF:
            yield text
            text = ""
        text += line
    if text:
        yield text


def configure(*, as_json: bool, level: str = "info") -> None:
    """`level`: the least that we say ourselves, `debug` to `error`. Libraries say nothing below info: when debugging,
    they tell the secrets they are given.
    """
    least = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso" if as_json else "%H:%M:%S", utc=as_json),
        structlog.processors.StackInfoRenderer(),
    ]
    # Through `logging` a line costs nearly three times as much; libraries' take that way
    structlog.configure(
        processors=shared if as_json else [*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=_JsonLines if as_json else structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    rendering: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if as_json:
        rendering += _AS_JSON
    else:
        rendering += (_trace, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0))
    handler = _Handler()
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=[*shared, _clean], processors=rendering))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(least, logging.INFO))
    sys.excepthook = _tell_of_a_crash
    sys.unraisablehook = _tell_of_what_cannot_be_raised
    threading.excepthook = _tell_of_a_broken_thread
    logging.captureWarnings(True)
    logging.raiseExceptions = False  # a line that cannot be written would be told of with all its arguments
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def _tell_of_a_crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Logs a crash of the main thread, and so of the process, which ends with 1."""
    log.critical("process.broke", exc_info=(kind, error, trace))


def _tell_of_a_broken_thread(end: threading.ExceptHookArgs) -> None:
    if end.exc_type is SystemExit:  # an end like any other
        return
    log.critical("thread.broke", thread=end.thread and end.thread.name, exc_info=end.exc_value or end.exc_type())


def _tell_of_what_cannot_be_raised(end: "sys.UnraisableHookArgs") -> None:
    """In a finalizer, say."""
    log.error("process.error_ignored", exc_info=end.exc_value)


def bind(**fields: Any) -> None:
    """Fields that stand on every line of this request, job or loop: `bind(request_id=…)`."""
    structlog.contextvars.bind_contextvars(**fields)


def route(rule: object) -> str | None:
    """A request as the log may name it: by the pattern of its path. Paths hold tokens and people's ids."""
    return None if rule is None else str(rule)


def unbind() -> None:
    structlog.contextvars.clear_contextvars()
