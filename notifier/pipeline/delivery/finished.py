"""The result of one send, decided once: `record` reads columns, tallies, trials and captures from it.

No database and no Redis: a value that is made of a finished `Task` before the transaction begins.
"""

import random
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from notifier.core import lifecycle
from notifier.core.errors import DeliveryError, RateLimited
from notifier.core.latency import promise, seconds_since
from notifier.core.people import storable
from notifier.core.record import record
from notifier.core.retry import RetryAt, Situation, Stop, decide_next
from notifier.core.routing import BEST
from notifier.core.segments import parts
from notifier.core.worlds import SYNTHETIC
from notifier.ground.config import current_settings
from notifier.ground.ids import new_id
from notifier.ledgers import tallies
from notifier.ledgers.moves import Move
from notifier.pipeline.delivery.task import Outcome, Task, Try

_LONGEST_MESSAGE = 1_000


@record
class Finished:
    """A task whose provider has answered. `failures` are the attempts used up so far, this round's included. `follows`
    is None if it has gone out.
    """

    task: Task
    at: datetime
    latest: Try
    failures: int
    follows: RetryAt | Stop | None
    status: str

    @property
    def has_gone_out(self) -> bool:
        return self.follows is None

    @property
    def took_s(self) -> float:
        """Since it was wanted."""
        delivery = self.task.delivery
        return seconds_since(self.task.notification.created_at, delivery.due_at, delivery.failures, self.at)

    @property
    def may_have_gone_out(self) -> bool:
        """By one of its tries, as far as anybody knows: then it has its price."""
        return any(each.error is None or getattr(each.error, "ambiguous", False) for each in self.task.tries)

    @property
    def place(self) -> tuple[UUID, int]:
        """In the ledger of what sends cost."""
        return self.task.delivery.id, self.task.delivery.tries

    @property
    def is_live_success(self) -> bool:
        """Gone out, and not for a test key: what scores and addresses learn from."""
        return self.has_gone_out and not self.task.notification.is_test

    @property
    def is_trial(self) -> bool:
        """Whether it is a trial of a channel from which routing `best` learns."""
        return self.is_live_success and self.task.notification.routing == BEST

    @property
    def revives_its_address(self) -> bool:
        """An address that was switched off was tried once more, and works again."""
        return self.is_live_success and self.task.was_dead

    @property
    def condemns_its_address(self) -> bool:
        """The provider says that this address will never work."""
        return (
            self.task.address is not None
            and isinstance(self.follows, Stop)
            and self.follows.disables_address
            and not self.is_synthetic
        )

    @property
    def is_synthetic(self) -> bool:
        """Of the synthetic person: watched by itself, it stands in no list of what failed or was captured."""
        return bool(self.task.notification.user_id == SYNTHETIC)

    @property
    def _is_forgotten(self) -> bool:
        return self.is_synthetic and self.status in lifecycle.DEAD

    def move(self) -> Move:
        """The delivery after this round."""
        delivery, error, receipt = self.task.delivery, self.latest.error, self.latest.receipt
        is_retry = isinstance(self.follows, RetryAt)
        due_at = self.follows.at if isinstance(self.follows, RetryAt) else delivery.due_at
        columns = {
            "reason": "retry" if is_retry else lifecycle.DISCARDED if self._is_forgotten else None,
            "provider": self.latest.adapter.name,
            "provider_message_id": (receipt and receipt.provider_message_id) or None,
            "tries": self.latest.number,
            "failures": self.failures,
            "outcome": outcome_of(error) if error else None,
            "code": _code_of(error),
            "failed_at": self.at if error else None,
            "failed_type": self.task.type.key if error else None,
            "due_at": due_at,
            "wake_at": due_at if is_retry else None,
            "sent_at": self.at if self.has_gone_out else None,
            "delivered_at": self.at if self.status == lifecycle.DELIVERED else None,
        }
        about = (delivery.id, delivery.notification_id, delivery.broadcast_id)
        return Move(*about, lifecycle.SENDING, self.status, columns)

    def happened(self) -> Iterator[tallies.Happened]:
        """The events that the counters get: none for a test key, nor before the delivery has ended."""
        delivery = self.task.delivery
        if self.task.notification.is_test:
            return
        if self.status in (lifecycle.SENT, lifecycle.DELIVERED):
            yield delivery.channel, tallies.SENT
            yield delivery.channel, tallies.latency(self.took_s * 1000)
            yield delivery.channel, promise(delivery.priority, self.took_s)
            for _ in range(self._segments()):
                yield delivery.channel, tallies.SEGMENT
        if self.status == lifecycle.DELIVERED:
            yield delivery.channel, tallies.DELIVERED
        if self.status in lifecycle.DEAD:
            yield delivery.channel, tallies.FAILED
            yield delivery.channel, promise(delivery.priority, None)

    def _segments(self) -> int:
        """For which a provider takes money: those of an SMS."""
        adapter, message = self.latest.adapter, self.task.message
        if adapter.is_sandbox or not adapter.channel.shape.is_sms or isinstance(message, str):
            return 0
        return len(parts(message.content.body))

    def attempts(self, *, with_messages: bool) -> list[dict[str, Any]]:
        """A row for each call of a provider. Without their messages if the person was erased during the send."""
        return [
            {
                "delivery_id": self.task.delivery.id,
                "number": each.number,
                "provider": each.adapter.name,
                "outcome": each.receipt.status if each.receipt else outcome_of(each.error),
                "code": _code_of(each.error),
                "message": storable(str(each.error), _LONGEST_MESSAGE) if each.error and with_messages else None,
                "duration_ms": each.duration_ms,
                "at": each.started_at,
            }
            for each in self.task.tries
        ]

    def capture(self) -> dict[str, Any] | None:
        """The row of what the sandbox kept."""
        if not self.latest.receipt or not self.latest.receipt.captured or self.is_synthetic:
            return None
        return {
            "id": new_id(),
            "delivery_id": self.task.delivery.id,
            "user_id": self.task.notification.user_id,
            "channel": self.task.delivery.channel,
            "content": dict(self.latest.receipt.captured),
            "at": self.at,
        }

    def outcome(self) -> Outcome:
        error = self.latest.error
        explanation = storable(f"{type(error).__name__}: {error}", _LONGEST_MESSAGE) if error else ""
        return Outcome(self.task.delivery.id, self.status, explanation, is_discarded=self._is_forgotten)


def finished(task: Task, now: datetime) -> Finished:
    """Decides what follows a send that has ended."""
    latest, delivery = task.tries[-1], task.delivery
    if latest.error is None:
        assert latest.receipt is not None
        return Finished(task, now, latest, delivery.failures, None, latest.receipt.status)
    failures = delivery.failures + _used_up(task)
    situation = Situation(
        priority=delivery.priority,
        failures=failures,
        now=now,
        expires_at=delivery.expires_at,
        safe_to_repeat=latest.adapter.is_safe_to_repeat,
        resend_unknown=task.type.resends_unknown,
        spread=random.uniform(-1, 1),
        delays_s=current_settings().retry_delays,
    )
    follows = decide_next(latest.error, situation)
    status = follows.status if isinstance(follows, Stop) else lifecycle.WAITING
    return Finished(task, now, latest, failures, follows, status)


def _used_up(task: Task) -> int:
    """Attempts used up: one for a round through the providers, none when all they said was to slow down."""
    return int(any(latest.error and not isinstance(latest.error, RateLimited) for latest in task.tries))


def _code_of(error: DeliveryError | None) -> str | None:
    return (error.code or None) if error else None


def outcome_of(error: DeliveryError | None) -> str:
    """The class of an error as it is stored and shown: `rate_limited`."""
    return "".join("_" + letter.lower() if letter.isupper() else letter for letter in type(error).__name__).lstrip("_")
