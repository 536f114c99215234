"""The brand of mails is the same in all cells: what the console of one has stored, the others are told."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from notifier.cells import forwards
from notifier.core.brand import Brand
from notifier.core.cells import CONSOLE, Call, OnBehalf
from notifier.core.errors import Rejected
from notifier.ground.config import current_settings
from notifier.ground.ids import new_hex
from notifier.words.brands import cleaned

PATH = "/cells/brands"  # the door of `api.cells`


def tell_others(brand: Brand, producer: str | None) -> None:
    """Stores what the others are to be told, inside the caller's transaction; the scheduler tells them. `producer`: the
    name of the one whose brand it is; None: the installation's.
    """
    cells = current_settings().region
    if cells is None or not cells.others:
        return
    behalf = OnBehalf(producer or CONSOLE, ("admin",), None, False, CONSOLE)
    body = {"brand": asdict(brand), "is_of_producer": producer is not None, "site": current_settings().public_url}
    call = Call(new_hex(), "PUT", PATH, body, behalf)
    forwards.add([(region, call) for region in sorted(cells.others)])


def unpack(body: Any) -> tuple[Brand, bool]:
    """What `tell_others` has packed → the brand, and whether it is the producer's own. Raises Rejected."""
    brand = body.get("brand") if isinstance(body, Mapping) else None
    if not isinstance(brand, Mapping) or not all(isinstance(value, str | None) for value in brand.values()):
        raise Rejected("malformed_json", "this is no brand")
    # Images stay in the cell that took them: what it takes for its own is an image here, too
    return cleaned(brand, site_url=str(body.get("site"))), body.get("is_of_producer") is True
