"""A batch of messages in the hands of `consume`: what of it is still to be stored, and what cannot be accepted."""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from notifier.access.keys import KeyIdentity
from notifier.core.bus_messages import DeadLetter, Message
from notifier.core.errors import Rejected
from notifier.pipeline.intake.accept import Committed
from notifier.pipeline.intake.ahead import Prepared
from notifier.pipeline.intake.idempotency_keys import IN_PROGRESS
from notifier.pipeline.intake.item import Accepted, Item

OURS = "internal_error"
_LATER = {"unavailable", IN_PROGRESS}
_TRIES = 3  # of what fails for a reason of our own
_MOST_PEOPLE = 2_000


@dataclass(slots=True)
class Pending:
    message: Message
    item: Item
    tries: int = 0
    has_another_key: bool = False

    def is_another(self, answer: Accepted) -> bool:
        """Whether the answer is that of an earlier message, of which only the guessed key was the same."""
        return answer.replayed and self.message.is_first and not self.has_another_key


@dataclass(slots=True)
class Batch:
    """`waiting`: what has not been stored yet, in order. The first `paid` of it may pass the limit of the `key`, the
    others in `wait_s` seconds; None: that has not been asked. `prepared`, then `storing`: its first part.
    """

    messages: Sequence[Message]
    oldest_at: float
    key: KeyIdentity | None = None
    waiting: list[Pending] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    paid: int | None = None
    wait_s: float = 0.0
    prepared: Prepared | None = None
    storing: Future[Committed] | None = None

    def parts(self, count: int | None) -> list[list[Pending]]:
        """Of the first `count` that wait, what is stored in one transaction each: so nobody waits long for a lock."""
        parts: list[list[Pending]] = []
        people = 0
        for one in self.waiting[:count]:
            cost = len(one.item.submission.recipients)
            if not parts or people + cost > _MOST_PEOPLE:
                parts.append([])
                people = 0
            parts[-1].append(one)
            people += cost
        return parts

    def is_settled_by(self, answers: Sequence[Accepted | Rejected]) -> bool:
        """Whether nothing is left to be stored when its first part has been answered so."""
        return len(answers) == len(self.waiting) and not any(
            answer.code in {OURS, *_LATER} if isinstance(answer, Rejected) else one.is_another(answer)
            for one, answer in zip(self.waiting, answers, strict=True)
        )

    def is_for_later(self, one: Pending, refused: Rejected) -> bool:
        """Whether it may be accepted at another time. If not, it is to be buried."""
        one.tries += refused.code == OURS
        if refused.code in _LATER or 0 < one.tries < _TRIES:
            return True
        self.refuse(one.message, refused)
        return False

    def refuse(self, message: Message, refused: Rejected) -> None:
        self.letters.append(DeadLetter(message, refused.code, refused.detail))

    def letters_in_order(self) -> list[DeadLetter]:
        place = {id(message): number for number, message in enumerate(self.messages)}
        return sorted(self.letters, key=lambda letter: place[id(letter.message)])
