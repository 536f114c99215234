"""Whether something is still as somebody saw it who changes it now. Pure.

A form carries the revision of what its author was shown. Where that is another one by now, nothing is stored: else
they would undo what somebody else has changed meanwhile, without knowing it.
"""

import hashlib
import json
from typing import Any

from notifier.core.errors import Rejected


def revision_of(*values: Any) -> str:
    """A short text, another one as soon as any of them is."""
    return hashlib.sha256(json.dumps(values, default=str).encode()).hexdigest()[:16]


def refuse_stale(seen: str | None, now: str, what: str) -> None:
    """`seen` None: nobody was shown anything. Raises Rejected('conflict')."""
    if seen is not None and seen != now:
        said = f"somebody else has changed {what} since you opened it: nothing was saved; open the page anew"
        raise Rejected("conflict", said)
