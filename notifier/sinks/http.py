"""An HTTP collector: NDJSON in batches, confirmed by a 2xx. ClickHouse is one, see docs/events.md."""

from collections.abc import Iterable, Sequence

from notifier.channels.wire.http import Http, basic_auth
from notifier.core.errors import DeliveryError, RateLimited
from notifier.core.networks import Network
from notifier.ground.sink_urls import HttpSink
from notifier.ground.target_lists import Lists
from notifier.sinks.collector import Away, Line, Refused

_ANSWER_S = 30.0
# Said of what was sent. All other codes are about the collector, its URL or our credentials, and wait for a person.
_OF_EVENTS = {"http_400", "http_413", "http_422"}


class HttpCollector:
    """A `Collector`."""

    def __init__(self, target: HttpSink, allow: Iterable[Network], lists: Lists = ()) -> None:
        self._http = Http(allow, read_s=_ANSWER_S)
        self._lists = lists
        self._url = target.url
        given = target.credentials
        self._headers = {
            "Content-Type": "application/x-ndjson",
            **(basic_auth(given.user, given.password) if given else {}),
        }

    def take(self, lines: Sequence[Line]) -> None:
        try:
            with self._http.within(self._lists):
                self._http.post(self._url, b"".join(line.text for line in lines), self._headers)
        except RateLimited as error:
            raise Away(error.code, error.retry_after) from None
        except DeliveryError as error:
            raise (Refused if error.code in _OF_EVENTS else Away)(error.code) from None

    def close(self) -> None:
        self._http.close()
