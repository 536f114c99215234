"""What follows a failed try."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.core.errors import DeliveryError, InvalidRecipient, Misconfigured, Permanent, RateLimited, Retryable
from notifier.core.retry import DELAYS_S, RetryAt, Situation, Stop, decide_next, fails_over

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
FIRST = Situation(
    priority="high",
    failures=1,
    now=NOW,
    expires_at=NOW + timedelta(days=1),
    safe_to_repeat=False,
    resend_unknown=False,
    spread=0.0,
    delays_s=DELAYS_S,
)


def at(seconds: float, *, uses_attempt: bool = True) -> RetryAt:
    return RetryAt(NOW + timedelta(seconds=seconds), uses_attempt)


@pytest.mark.parametrize(
    ("error", "situation", "follows"),
    [
        # the delays of each priority: the seeds' 1, 2, 4 first, urgent at once
        (Retryable("503"), FIRST, at(1)),
        (Retryable("503"), replace(FIRST, failures=3), at(4)),
        (Retryable("503"), replace(FIRST, failures=4), at(30)),
        (Retryable("503"), replace(FIRST, failures=6), at(600)),
        (Retryable("503"), replace(FIRST, priority="urgent"), at(0)),
        (Retryable("503"), replace(FIRST, priority="low", failures=6), at(3600)),
        # jitter spreads by a fifth
        (Retryable("503"), replace(FIRST, failures=4, spread=1.0), at(36)),
        (Retryable("503"), replace(FIRST, failures=4, spread=-1.0), at(24)),
        # no more tries, or too late for one
        (Retryable("503"), replace(FIRST, failures=7), Stop("failed")),
        (Retryable("503"), replace(FIRST, expires_at=NOW + timedelta(seconds=1)), Stop("failed")),
        (Retryable("503"), replace(FIRST, expires_at=None), at(1)),
        # it may have gone out
        (Retryable("timeout", ambiguous=True), FIRST, Stop("unknown")),
        (Retryable("timeout", ambiguous=True), replace(FIRST, resend_unknown=True), at(1)),
        (Retryable("timeout", ambiguous=True), replace(FIRST, safe_to_repeat=True), at(1)),
        # the provider's own word
        (RateLimited("429", retry_after=17), FIRST, at(17, uses_attempt=False)),
        (RateLimited("429", retry_after=17), replace(FIRST, failures=99), at(17, uses_attempt=False)),
        (RateLimited("429", retry_after=100_000), FIRST, Stop("failed")),
        # refused
        (Permanent("no"), FIRST, Stop("failed")),
        (InvalidRecipient("gone"), FIRST, Stop("failed", disables_address=True)),
        # wrong credentials: like an outage, until somebody has put them right
        (Misconfigured("401"), FIRST, at(1)),
        (Misconfigured("401"), replace(FIRST, failures=7), Stop("failed")),
    ],
)
def test_what_follows(error: DeliveryError, situation: Situation, follows: RetryAt | Stop) -> None:
    assert decide_next(error, situation) == follows


@given(st.sampled_from(sorted(DELAYS_S)), st.integers(1, 20), st.floats(-1, 1), st.booleans(), st.integers(1, 10_000))
def test_retries_end_and_stay_before_the_deadline(
    priority: str, failures: int, spread: float, ambiguous: bool, life_s: int
) -> None:
    deadline = NOW + timedelta(seconds=life_s)
    situation = replace(
        FIRST, priority=priority, failures=failures, spread=spread, expires_at=deadline, resend_unknown=True
    )
    follows = decide_next(Retryable("x", ambiguous=ambiguous), situation)
    assert isinstance(follows, Stop) or NOW <= follows.at < deadline
    if failures > len(DELAYS_S[priority]):
        assert follows == Stop("failed")


@pytest.mark.parametrize(
    ("error", "safe_to_repeat", "answer"),
    [
        (Retryable("503"), False, True),
        (Retryable("timeout", ambiguous=True), False, False),
        (Retryable("timeout", ambiguous=True), True, True),
        (RateLimited("429"), False, True),
        (Misconfigured("401"), False, True),
        (Permanent("no"), True, False),
        (InvalidRecipient("gone"), True, False),
    ],
)
def test_the_next_provider_is_tried_at_once_when_this_one_is_out_of_order(
    error: DeliveryError, safe_to_repeat: bool, answer: bool
) -> None:
    assert fails_over(error, safe_to_repeat=safe_to_repeat) is answer
