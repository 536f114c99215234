"""JSON in and out: strict about the bodies it reads, and ISO 8601 for the times it writes.

Only syntax and size are judged here, since a fault in one item of a bulk call must not fail its
neighbours; what a text or number may be is `fields.check_json`'s business.
"""

import json
from datetime import datetime
from functools import cached_property
from typing import Any, NoReturn

from flask import Request, current_app, g
from flask.json.provider import DefaultJSONProvider
from werkzeug.exceptions import RequestEntityTooLarge

from notifier.core.errors import Rejected
from notifier.shapes import timestamp


class StrictJSON(DefaultJSONProvider):
    sort_keys = False

    @staticmethod
    def default(o: Any) -> Any:
        return timestamp(o) if isinstance(o, datetime) else DefaultJSONProvider.default(o)


class StrictRequest(Request):
    """Reads bodies that are JSON, whatever their Content-Type says: UTF-8, no NaN or Infinity, no bottomless nesting."""

    def get_json(self, force: bool = False, silent: bool = False, cache: bool = True) -> Any:
        """Raises `Rejected('malformed_json')`. No body at all is None where the route says that it may be missing."""
        return self._parsed

    @cached_property
    def _parsed(self) -> Any:
        body = self.get_data()
        if len(body) > current_app.config["MAX_CONTENT_LENGTH"]:
            raise RequestEntityTooLarge
        if not body and g.get("body_is_optional"):
            return None
        try:
            return json.loads(body.decode(), parse_constant=_refuse_constant)
        except UnicodeDecodeError:
            raise Rejected("malformed_json", "the body is not UTF-8") from None
        except RecursionError:
            raise Rejected("malformed_json", "the body is nested too deeply") from None
        except ValueError as error:  # also a number of more digits than Python reads
            raise Rejected("malformed_json", f"the body is not JSON: {error}") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
