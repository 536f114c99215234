"""The query parameters of a call: the declared ones, each at most once.

Others are refused, since the caller expects them to have an effect. `Door` wraps every route that needs a caller in
`checked`. It runs after the caller is known and before the route, so strangers learn nothing.
"""

import functools
from collections.abc import Callable, Collection
from typing import Any

from flask import request

from notifier.api.fields import MOST_FAULTS
from notifier.core.errors import Fault, Rejected
from notifier.core.pointers import pointer_to


def checked(view: Callable[..., Any], taken: Collection[str]) -> Callable[..., Any]:
    """The view, for requests with no other parameters than `taken`."""

    @functools.wraps(view)
    def check(*args: Any, **kwargs: Any) -> Any:
        faults = [fault for name, values in request.args.lists() if (fault := _fault(name, values, taken))]
        if faults:
            detail = "; ".join(f"{fault.pointer}: {fault.message}" for fault in faults[:3])
            raise Rejected("validation_failed", f"the request is not valid: {detail}", tuple(faults[:MOST_FAULTS]))
        return view(*args, **kwargs)

    return check


def _fault(name: str, values: list[str], taken: Collection[str]) -> Fault | None:
    if name not in taken:
        return Fault(pointer_to(name), "unknown_field", "this call takes no such parameter")
    return Fault(pointer_to(name), "ambiguous", "given more than once") if len(values) > 1 else None
