"""What is made for each call, person and delivery, by the hundred thousand."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

_Class = TypeVar("_Class")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(cls: type[_Class]) -> type[_Class]:
    """A dataclass that nobody changes. The type checker holds everybody to it; a frozen one, whose objects refuse it
    themselves, takes two to six times as long to make. What providers' adapters are handed is frozen all the same: an
    adapter may be written elsewhere, and the next one gets the same message.
    """
    made: Callable[[type[_Class]], type[_Class]] = dataclass(slots=True, unsafe_hash=True)
    return made(cls)
