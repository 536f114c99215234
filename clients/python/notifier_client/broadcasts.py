"""Broadcasts: one notification for a whole audience. The key needs the scope `broadcast`."""

from collections.abc import Iterator, Mapping
from typing import Any, Unpack, cast

from notifier_client.calls import Calls, ask_until, new_key, segment
from notifier_client.shapes import Broadcast, BroadcastOptions, BroadcastRecipient

_PATH = "/api/v1/broadcasts"


class Broadcasts(Calls):
    """`client.broadcasts`"""

    def create(
        self,
        name: str,
        type: str,
        audience: Mapping[str, Any],
        *,
        idempotency_key: str | None = None,
        **options: Unpack[BroadcastOptions],
    ) -> Broadcast:
        """`audience`: `{"all": True}`, `{"users": […]}`, `{"upload": "upl_…"}` or `{"where": …}`."""
        body = {"name": name, "type": type, "audience": audience, **options}
        return cast("Broadcast", self.call("POST", _PATH, body, idempotency_key=idempotency_key or new_key()))

    def get(self, id: str) -> Broadcast:
        """How far it is; its counts are those of one moment."""
        return cast("Broadcast", self.call("GET", f"{_PATH}/{segment(id)}"))

    def list(self, *, status: str | None = None) -> Iterator[Broadcast]:
        """Newest first. `status`: one, or several separated by commas."""
        return self.pages(_PATH, status=status)

    def recipients(
        self, id: str, *, status: str | None = None, channel: str | None = None
    ) -> Iterator[BroadcastRecipient]:
        """A line for each delivery: `status="failed"`."""
        return self.pages(f"{_PATH}/{segment(id)}/recipients", status=status, channel=channel)

    def pause(self, id: str) -> Broadcast:
        return self._change(id, "pause")

    def resume(self, id: str) -> Broadcast:
        return self._change(id, "resume")

    def cancel(self, id: str) -> Broadcast:
        return self._change(id, "cancel")

    def retry_failed(self, id: str) -> Broadcast:
        """Sends what has failed again, and what is `unknown`, which may have arrived."""
        return self._change(id, "retry-failed", repeatable=False)

    def wait(self, id: str, *, timeout_s: float = 600.0) -> Broadcast:
        """Until it is finished, cancelled or paused. Raises TimeoutError."""
        return ask_until(lambda: self.get(id), lambda it: it["status"] not in ("scheduled", "running"), timeout_s)

    def _change(self, id: str, change: str, *, repeatable: bool = True) -> Broadcast:
        return cast("Broadcast", self.call("POST", f"{_PATH}/{segment(id)}/{change}", repeatable=repeatable))
