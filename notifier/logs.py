"""Structured logs: one event name and ids as fields, one line a stage (`log.info("delivery.sent", delivery=…)`).

Configured once per process. JSON in production, readable in development; what libraries log through
the standard library comes out in the same form. A request's id is bound by `bind` and stands on every
line until `unbind`. Addresses are masked by whoever logs them; secrets are never logged.
"""

import logging
import sys
from typing import Any

import structlog
from structlog.types import Processor

_QUIET = ("engineio", "socketio", "rq", "alembic", "werkzeug")  # heard from warnings upwards; urllib3 less: see channels.http


def configure(*, as_json: bool, level: int = logging.INFO) -> None:
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso" if as_json else "%H:%M:%S", utc=as_json),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    rendering: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if as_json:
        rendering += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        rendering.append(structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0, exception_formatter=structlog.dev.plain_traceback))
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=rendering))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def bind(**fields: Any) -> None:
    """Fields that stand on every line of this request, job or loop: `bind(request_id=…)`."""
    structlog.contextvars.bind_contextvars(**fields)


def unbind() -> None:
    structlog.contextvars.clear_contextvars()
