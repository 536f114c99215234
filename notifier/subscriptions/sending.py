"""Posts a batch of events to one subscriber: several at a time, those of a delivery one after the other."""

import hashlib
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit
from uuid import UUID

import structlog

from notifier.channels import serving
from notifier.channels.contract import RECEIVER_MARK
from notifier.channels.wire import standard_webhooks
from notifier.core.errors import DeliveryError, InvalidRecipient, Permanent, RateLimited
from notifier.ground.clock import now as clock_now
from notifier.providers.health import Tally
from notifier.subscriptions.lease import Turn

AT_ONCE = 16  # requests of a batch
AT_ONCE_FAILING = 2
BATCH_S = 5.0  # after which no further request of a batch begins
STOP_AFTER = 10  # failures without one success
_PORTS = {"http": 80, "https": 443}
_PROVIDER = "subscription"  # as its scopes are called beside those of providers
# Nobody could be reached: that is the host's fault, and holds for every subscription there
_NOBODY_THERE = frozenset({"dns", "connect_failed", "connect_timeout", "tls"})

# Threads beside the lanes' own, of a process: with none left a batch goes on more slowly, on its lane alone
_spare = threading.Semaphore(240)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    """An event to be posted. `event_id` None: a ping. `tries`: those before. `first_at`: since when it has waited for
    another try, or for its first one because others have overtaken it; None: it is new.
    """

    webhook_id: str
    event_id: int | None
    kind: str
    delivery_id: UUID | None
    body: str
    tries: int = 0
    first_at: datetime | None = None
    traceparent: str | None = None  # of its submission, where that is followed


@dataclass(frozen=True, slots=True)
class Posted:
    item: Item
    at: datetime
    duration_ms: int
    error: DeliveryError | None


def scopes(turn: Turn) -> tuple[str, str]:
    """The host, whose breaker opens when nobody is there, and this URL, whose breaker opens for whatever fails: who
    answers nonsense at one URL of a shared host stops no other.
    """
    parts = urlsplit(turn.url)
    host = f"{_PROVIDER}:{parts.hostname}:{parts.port or _PORTS[parts.scheme]}"
    return host, f"{host}{RECEIVER_MARK}{hashlib.sha256(turn.url.encode()).hexdigest()[:16]}"


def send(turn: Turn, items: Sequence[Item]) -> list[Posted]:
    """Posts as many as it gets to; nothing escapes. Fewer when they all fail, when the subscriber asks for a pause, or
    when time is over.
    """
    batch = _Batch(turn, items)
    wanted = min(AT_ONCE if turn.failing_since is None else AT_ONCE_FAILING, len(batch.chains))
    helpers = []
    for _ in range(wanted - 1):
        if not _spare.acquire(blocking=False):
            break
        helper = threading.Thread(target=batch.help, name="subscription", daemon=True)
        try:
            helper.start()
        except RuntimeError:  # the machine has no thread left, either
            _spare.release()
            break
        helpers.append(helper)
    batch.work()
    for helper in helpers:
        helper.join()
    return batch.posted


def tallies(turn: Turn, posted: Sequence[Posted]) -> dict[str, Tally]:
    """The results for the breakers."""
    host, address = (Tally(), Tally())
    for one in posted:
        if isinstance(one.error, RateLimited):
            address.blocked_ms = max(address.blocked_ms, round(one.error.retry_after * 1000))
            host.good += 1
            continue
        is_bad = one.error is not None and one.error.code in _NOBODY_THERE
        host.bad, host.good = host.bad + is_bad, host.good + (not is_bad)
        address.bad, address.good = address.bad + (one.error is not None), address.good + (one.error is None)
    return dict(zip(scopes(turn), (host, address), strict=True)) if posted else {}


class _Batch:
    """What the threads of a batch share."""

    def __init__(self, turn: Turn, items: Sequence[Item]) -> None:
        self.turn, self.http = turn, serving.registry().http
        self.posted: list[Posted] = []
        self.chains = deque(_chains(items))
        self.is_stopped = False
        self.ends_at = time.monotonic() + BATCH_S

    def help(self) -> None:
        try:
            self.work()
        finally:
            _spare.release()

    def work(self) -> None:
        while True:
            try:
                chain = self.chains.popleft()
            except IndexError:
                return
            for item in chain:
                if self.is_stopped or time.monotonic() > self.ends_at:
                    return
                self._post(item)

    def _post(self, item: Item) -> None:
        at, begun, error = clock_now(), time.monotonic(), None
        try:
            with self.http.within(self.turn.lists):
                standard_webhooks.post(
                    self.http, item.webhook_id, item.body, self.turn.url, self.turn.secrets, item.traceparent, at
                )
        except DeliveryError as failure:
            error = failure
        except Exception as bug:
            log.exception("subscription.broke", event=item.webhook_id)
            error = Permanent(f"the request could not be made: {type(bug).__name__}", code="internal_error")
        self.posted.append(Posted(item, at, round((time.monotonic() - begun) * 1000), error))
        if isinstance(error, RateLimited | InvalidRecipient) or (
            error is not None and len(self.posted) >= STOP_AFTER and all(one.error for one in list(self.posted))
        ):
            self.is_stopped = True


def _chains(items: Sequence[Item]) -> list[list[Item]]:
    """Those of a delivery together, in their order."""
    chains: dict[object, list[Item]] = {}
    for item in items:
        chains.setdefault(item.delivery_id or item.webhook_id, []).append(item)
    return list(chains.values())
