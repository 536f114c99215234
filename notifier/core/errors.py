"""The two families of expected error. Anything else that is raised is a bug.

`Rejected` is the caller's fault and is shown to them; `DeliveryError` is what a send can end in,
and `core.retry.decide_next` says what follows from it.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a request. `pointer` is a JSON pointer (RFC 6901) into its body; `line` is within a
    text there, from 1; `suggestion` is a value or name that is likely to be meant there.
    """

    pointer: str
    code: str
    message: str
    line: int | None = None
    suggestion: str | None = None


class Rejected(Exception):
    """A request that is refused as a whole; nothing of it is stored.

    `code` is stable and is what clients match; `detail` is for people; `retry_after` is in seconds.
    """

    def __init__(
        self, code: str, detail: str, faults: tuple[Fault, ...] = (), *, retry_after: float | None = None
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.faults = faults
        self.retry_after = retry_after

    def __reduce__(self) -> "tuple[Any, ...]":  # an exception is pickled by its message alone, and this one has more
        return partial(Rejected, retry_after=self.retry_after), (self.code, self.detail, self.faults)


class DeliveryError(Exception):
    """A send that did not succeed. `code` is the provider's own word where it has one.

    `message` may quote the provider; it must never hold a secret.
    """

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class Retryable(DeliveryError):
    """Network trouble, 5xx, a time-out. `ambiguous`: the message may have gone out all the same."""

    def __init__(self, message: str, *, code: str = "", ambiguous: bool = False) -> None:
        super().__init__(message, code=code)
        self.ambiguous = ambiguous


class RateLimited(DeliveryError):
    """The provider asks us to slow down. Uses up no attempt. `retry_after` is in seconds. `is_of_recipient`: of what
    this one gets; everybody else may be sent to.
    """

    def __init__(
        self, message: str, *, code: str = "", retry_after: float = 1.0, is_of_recipient: bool = False
    ) -> None:
        super().__init__(message, code=code)
        self.retry_after = retry_after
        self.is_of_recipient = is_of_recipient


class Permanent(DeliveryError):
    """Understood and refused: trying the same again cannot help."""


class InvalidRecipient(Permanent):
    """This address will never work; it is switched off with the reason.

    `since`: when the provider found that out, where it says so: an address that was given again later is left alone.
    """

    def __init__(self, message: str, *, code: str = "", since: datetime | None = None) -> None:
        super().__init__(message, code=code)
        self.since = since


class OptedOut(Permanent):
    """They have told the provider to send them nothing more on this channel ("STOP"); the address is fine, and serves
    other channels.
    """


class Misconfigured(DeliveryError):
    """Our credentials, sender or settings are wrong; the recipient is never blamed.

    `is_certain` False: the receiver may have a rule of its own for this recipient, so one such answer pauses no
    provider; many do.
    """

    def __init__(self, message: str, *, code: str = "", is_certain: bool = True) -> None:
        super().__init__(message, code=code)
        self.is_certain = is_certain
