"""JSON in and out: strict about what it reads, and ISO 8601 for times it writes.

Only syntax is judged here, since a fault in one item of a bulk call must not fail its neighbours;
what a text or number may be is `fields.check_json`'s business.
"""

import json
from datetime import datetime
from typing import Any, NoReturn

from flask import current_app, g
from flask.json.provider import DefaultJSONProvider
from werkzeug.exceptions import RequestEntityTooLarge

from notifier.core.errors import Rejected
from notifier.shapes import timestamp


class StrictJSON(DefaultJSONProvider):
    """Refuses NaN, Infinity, text that is not UTF-8 and nesting no parser should follow."""

    sort_keys = False

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        """Raises `Rejected('malformed_json')`. No body at all is None where the route says that it may be missing."""
        if len(s) > current_app.config["MAX_CONTENT_LENGTH"]:
            raise RequestEntityTooLarge
        try:
            text = s if isinstance(s, str) else s.decode()
            if not text and g.get("body_is_optional"):
                return None
            return json.loads(text, parse_constant=_refuse_constant, **kwargs)
        except UnicodeDecodeError:
            raise Rejected("malformed_json", "the body is not UTF-8") from None
        except RecursionError:
            raise Rejected("malformed_json", "the body is nested too deeply") from None
        except json.JSONDecodeError as error:
            raise Rejected("malformed_json", f"the body is not JSON: {error}") from None
        except ValueError as error:  # also a number of more digits than Python reads
            raise Rejected("malformed_json", f"the body is not JSON: {error}") from None

    @staticmethod
    def default(o: Any) -> Any:
        return timestamp(o) if isinstance(o, datetime) else DefaultJSONProvider.default(o)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
