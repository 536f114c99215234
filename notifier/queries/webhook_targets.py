"""Which lists of webhook targets hold for an address (`ground.target_lists`), and whose leaves one out."""

from uuid import UUID

from notifier.channels import CHANNELS, serving
from notifier.ground.config import current_settings
from notifier.ground.target_lists import Lists
from notifier.queries.producer_limits import own_limits


def lists_of(producer_id: UUID | None) -> Lists:
    """The lists that hold for what a producer has called: a target has to be on each. None: only the installation's,
    for what is nobody's.
    """
    of_all = current_settings().target_lists
    own = own_limits().get(producer_id) if producer_id is not None else None
    return of_all if own is None or own.targets is None else (*of_all, own.targets)


def left_out_by(channel: str, value: str, producer_id: UUID | None) -> str | None:
    """Whose list leaves an address out for certain, so that nothing is sent there: `target_lists.INSTALLATION` or
    PRODUCER.
    """
    return _whose(channel, value, lists_of(producer_id))


def leaving_out(channel: str, value: str) -> list[str]:
    """The same for the console, of all lists: the names of the producers whose lists leave the address out, after "all
    producers" where the installation's does.
    """
    found = ["all producers"] if _whose(channel, value, current_settings().target_lists) else []
    own = (one for one in own_limits().values() if one.targets and _whose(channel, value, (one.targets,)))
    return found + sorted(one.name for one in own)


def _whose(channel: str, value: str, lists: Lists) -> str | None:
    barred = serving.registry().why_not(channel, value, lists) if lists and channel in CHANNELS else None
    return barred.whose if barred else None
