"""Renders in-app items before the transaction that stores them begins, so that no template runs while others wait for a
lock.

Called by `intake.accept`, `intake.expand` and upkeep. If the facts have changed by the time an item is stored (another
template version, another name), its text is not used: `accept` starts again. An item without a text in the end waits
until the scheduler shows it.
"""

import contextlib
from collections.abc import Hashable, Iterable

from notifier.channels import CHANNELS
from notifier.core.errors import Rejected
from notifier.core.message import Content
from notifier.words.compose import Wanted, put_some_into_words

SHOWN_BY_US = next(name for name, channel in CHANNELS.items() if channel.address is None)

# Units of work for one batch. What is dearer is done apart from the hub, and what is dearer still by the scheduler.
_AT_ONCE, _FOR_EACH = 20_000, 300
_APART = 500_000


class Beforehand:
    """Rendered texts, by the facts they were rendered from. `is_surprised`: a text was looked for that was not
    rendered.
    """

    def __init__(self) -> None:
        self._made: dict[Hashable, tuple[Wanted, Content | str | None]] = {}
        self.is_surprised = False

    def make(self, wanted: Iterable[Wanted]) -> None:
        """Renders these, with no transaction open. At most one query. Texts beyond the budget are missing."""
        each = {_key(one): one for one in wanted}
        keys, ones = list(each), list(each.values())
        results = put_some_into_words(ones, _AT_ONCE + _FOR_EACH * len(ones))
        # The last ones: their turn comes in order
        left = [index for index, result in enumerate(results) if result is None]
        if left:
            with contextlib.suppress(Rejected):  # no child process is free
                results_apart = put_some_into_words([ones[index] for index in left], _APART, apart=True)
                results = [*results[: left[0]], *results_apart]
        self._made |= {key: (one, result) for key, one, result in zip(keys, ones, results, strict=True)}

    def find(self, wanted: Wanted) -> Content | str | None:
        made = self._made.get(_key(wanted))
        self.is_surprised |= made is None
        return made[1] if made else None


def _key(wanted: Wanted) -> Hashable:
    """By the identity of the data, which are kept as long as their texts."""
    person = wanted.person
    reader = person.locale, person.name, (person.reading_zone or person.zone).key
    return wanted.channel, wanted.type.key, wanted.type.updated_at, wanted.template_id, reader, id(wanted.data)
