"""The calling producer: what it may do, beyond what its keys say."""

from flask import Response, g

from notifier.access import producer_limits
from notifier.api.answers import answer
from notifier.api.auth import Door, allow
from notifier.api.schemas.producers import ProducerOut, ProducerPatch
from notifier.queries import producers as queries

bp = Door("api_producers", __name__, url_prefix="/api/v1/producer", tag="Your producer")


@bp.get("")
@allow("read")
@bp.output(ProducerOut)
def get_producer() -> Response:
    """Your producer and its limits"""
    return answer(queries.limits(g.key.producer_id))


@bp.patch("")
@allow("admin", is_live_only=True)
@bp.input(ProducerPatch)
@bp.output(ProducerOut)
def change_producer(json_data: ProducerPatch) -> Response:
    """Change the limits of your producer

    A webhook address that a list leaves out is refused with 422 and the list's name; one that was stored before stays,
    and nothing is sent to it: the delivery is `skipped` with the reason `target_not_listed`. A name that is not listed
    itself is allowed at first where the list has networks: then the address that it leads to decides, each time a
    connection is made, and a send that is refused fails with that code.

    SMS and calls to other countries are `skipped` with the reason `country_not_allowed`, those that cost more than is
    left of the day's money with `spend_limit`; the admins are told once a day. `daily_spend` is only lowered here: an
    admin raises or lifts it in the console. The lists are also widened and lifted here; those of the installation hold
    all the same. A change takes effect within 3 seconds.
    """
    producer_limits.change(g.key.producer_id, json_data.model_dump(include=json_data.model_fields_set), by_its_key=True)
    return answer(queries.limits(g.key.producer_id))
