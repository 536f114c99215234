"""JSON in and out: strict about bodies, and ISO 8601 for times.

Only syntax and size are checked here, since a fault in one item of a bulk call must not fail the others;
`fields.check_json` checks texts and numbers.
"""

import json
from contextlib import suppress
from datetime import datetime
from functools import cached_property
from typing import Any, NoReturn

from flask import Request, current_app, g
from flask.json.provider import DefaultJSONProvider
from werkzeug.exceptions import RequestEntityTooLarge

from notifier.core.errors import Fault, Rejected
from notifier.ground.fast_json import decoded_strictly
from notifier.ground.shapes import timestamp


class StrictJSON(DefaultJSONProvider):
    sort_keys = False

    @staticmethod
    def default(o: Any) -> Any:
        return timestamp(o) if isinstance(o, datetime) else DefaultJSONProvider.default(o)


class StrictRequest(Request):
    """Reads bodies that are JSON, whatever their Content-Type says: UTF-8 (a BOM is passed over), no NaN or Infinity,
    no bottomless nesting.
    """

    def get_json(self, force: bool = False, silent: bool = False, cache: bool = True) -> Any:
        """Raises `Rejected('malformed_json')`. No body at all is None where the route says that it may be missing."""
        return self._parsed

    @cached_property
    def _parsed(self) -> Any:
        encoding = self.environ.get("HTTP_CONTENT_ENCODING", "identity").strip().lower()
        if encoding not in ("identity", ""):
            raise Rejected(
                "unsupported_media_type",
                f"bodies are read as they are: send it without Content-Encoding ({encoding[:40]!r})",
            )
        body = self.get_data()
        if len(body) > current_app.config["MAX_CONTENT_LENGTH"]:
            raise RequestEntityTooLarge
        if not body and g.get("body_is_optional"):
            return None
        value = read_json(body)
        if not value:  # APIFlask would take null, [], "", 0 and false for {}
            refuse_unless_object(value)
        return value


def read_json(body: bytes) -> Any:
    """Raises `Rejected('malformed_json')` with what is wrong with it."""
    try:
        return _decoded(body)
    except UnicodeDecodeError:
        raise Rejected("malformed_json", "the body is not UTF-8") from None
    except RecursionError:
        raise Rejected("malformed_json", "the body is nested too deeply") from None
    except json.JSONDecodeError as error:
        reason = f"{error.msg} in line {error.lineno}, column {error.colno}" if body else "it is empty"
        raise Rejected("malformed_json", f"the body is not valid JSON: {reason}") from None
    except ValueError:
        raise Rejected("malformed_json", "the body cannot be read: a number in it has too many digits") from None


def refuse_unless_object(value: Any) -> None:
    """Raises Rejected."""
    if not isinstance(value, dict):
        fault = Fault("", "wrong_type", "this must be an object")
        raise Rejected("validation_failed", "the request is not valid: body: this must be an object", (fault,))


def _decoded(body: bytes) -> Any:
    """Raises what the standard library says of a body that is wrong, or begins with a BOM."""
    with suppress(ValueError, RecursionError):
        return decoded_strictly(body)
    return json.loads(body.decode("utf-8-sig"), parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> NoReturn:
    raise Rejected("malformed_json", f"the body is not valid JSON: {name} is not a number")
