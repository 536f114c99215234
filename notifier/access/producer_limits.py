"""What an installation's admins allow a producer: targets of webhooks, countries of phones, money in a day.

Called by the API, the console and the commands. A change holds in other processes within a few seconds.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from notifier.core import revisions
from notifier.core.errors import Fault, Rejected
from notifier.core.revisions import refuse_stale
from notifier.core.spend import parse_amount, shown
from notifier.ground.clock import now
from notifier.ground.config import UNITS, current_settings
from notifier.ground.database import transaction
from notifier.ground.phone_countries import parse_countries
from notifier.ground.target_lists import PRODUCER, TargetList
from notifier.ledgers import audit, spend
from notifier.models import Producer
from notifier.queries import producer_limits


def revision_of(producer: Producer) -> str:
    return revisions.revision_of(*(getattr(producer, name) for name in _READ))


def change(producer_id: UUID, given: Mapping[str, Any], *, by_its_key: bool = False, seen: str | None = None) -> None:
    """Sets those of `webhook_targets` and `phone_countries` (lists of texts) and `daily_spend` (`12.50`) that are
    given; None lifts a limit. Raises Rejected with every fault; then nothing is changed.

    `by_its_key`: a producer may be careful, but not grant itself money. It may lower its ceiling, never raise or lift
    it: that is for the admins of the installation. Its lists are its own: no list of its lets through what the
    installation's leave out. `seen`: the `revision_of` the producer as somebody was shown it.
    """
    values, faults = {}, list[Fault]()
    for name, value in given.items():
        try:
            values[name] = None if value is None else _READ[name](value)
        except ValueError as error:
            faults.append(Fault(f"/{name}", f"invalid_{name}", str(error)))
    if faults:
        raise Rejected("validation_failed", faults[0].message, tuple(faults))
    with transaction() as session:
        producer = session.get(Producer, producer_id, with_for_update=True, populate_existing=True)
        if producer is None:
            raise Rejected("not_found", "there is no such producer")
        refuse_stale(seen, revision_of(producer), f"the limits of {producer.name}")
        if by_its_key and "daily_spend" in values:
            _check_lower(producer, values["daily_spend"])
        before = {name: getattr(producer, name) for name in values}
        for name, value in values.items():
            setattr(producer, name, value)
        if values != before:
            audit.write("producer.limits_set", producer.name, before=before, after=values)
    producer_limits.forget_cached()


def _check_lower(producer: Producer, wanted: int | None) -> None:
    """Raises Rejected('forbidden')."""
    of_all = current_settings().spend_limit
    most = [one for one in (producer.daily_spend, of_all.micros if of_all else None) if one is not None]
    if wanted == producer.daily_spend or not most:
        return
    if wanted is None or wanted > most[0]:
        sentence = "a producer's key only lowers daily_spend; an admin raises or lifts it in the console"
        raise Rejected("forbidden", sentence, (Fault("/daily_spend", "only_lowered", sentence),))


def _targets(texts: Sequence[str]) -> list[str]:
    return TargetList.parse(PRODUCER, texts).entries()


def _spend(text: str) -> int:
    if len(current_settings().prices) < len(UNITS):
        raise ValueError("a ceiling needs SMS_SEGMENT_PRICE and VOICE_CALL_PRICE to be set")
    return parse_amount(text)


_READ: Mapping[str, Callable[[Any], Any]] = {
    "webhook_targets": _targets,
    "phone_countries": parse_countries,
    "daily_spend": _spend,
}


def raise_for_today(producer_id: UUID, amount: str) -> None:
    """Lets a producer spend so much more until the day (UTC) ends. Raises Rejected."""
    try:
        more = _spend(amount)
    except ValueError as error:
        raise Rejected("validation_failed", str(error), (Fault("/amount", "invalid_amount", str(error)),)) from None
    with transaction() as session:
        producer = session.get(Producer, producer_id)
        if producer is None:
            raise Rejected("not_found", "there is no such producer")
        spend.raise_today(producer_id, more, now())
        audit.write("producer.spend_raised", producer.name, after={"amount": shown(more)})
