"""The settings of cells (docs/cells.md), read by `ground.config`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from notifier.core.cells import NAME
from notifier.ground.variables import Variables

REGION = "REGION"
# Beside REGION; docs/cells.md has the same table as docs/settings.md
SETTINGS: Final = {
    "REGIONS": "the addresses of all cells, `eu=https://eu.example.com, us=https://us.example.com`",
    "REGION_KEY": "signs what cells ask of one another: the same secret in all, 32 characters or more",
    "REGION_KEY_FALLBACK": "the `REGION_KEY` before this one: accepted until it is taken out",
}
_SHORTEST_KEY = 32


@dataclass(frozen=True, slots=True)
class Cells:
    """`name`: of this one. `others`: the addresses of the others, without a slash at the end. `keys`: the first one
    signs, all are accepted.
    """

    name: str
    others: Mapping[str, str]
    keys: tuple[str, ...] = field(repr=False)


def read_cells(variables: Variables) -> Cells | None:
    """None without REGION. What does not make sense becomes a fault."""
    name = variables.text(REGION, "")
    urls = _urls(variables)
    key, before = variables.secret("REGION_KEY"), variables.secret("REGION_KEY_FALLBACK")
    if not name:
        given = zip(SETTINGS, (urls, key, before), strict=True)
        variables.faults += [f"{one} is of no use without {REGION}" for one, value in given if value]
        return None
    if not NAME.match(name):
        variables.faults.append("REGION must be a short name such as eu or us-east: a-z, 0-9 and -")
    others = {region: url for region, url in urls.items() if region != name}
    if others and not key:
        variables.faults.append("REGION_KEY is required with REGIONS: the same secret in all cells")
    for variable, value in (("REGION_KEY", key), ("REGION_KEY_FALLBACK", before)):
        if value and len(value) < _SHORTEST_KEY:
            variables.faults.append(f"{variable} must have at least {_SHORTEST_KEY} characters")
    return Cells(name, others, tuple(filter(None, (key, before))))


def _urls(variables: Variables) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in variables.text("REGIONS", "").split(","))):
        region, equals, url = part.partition("=")
        if not equals or not NAME.match(region):
            variables.faults.append("REGIONS must look like eu=https://eu.example.com, us=https://us.example.com")
            continue
        if region in found:
            variables.faults.append(f"REGIONS names {region} twice")
        found[region] = variables.url("REGIONS", url.rstrip("/"), ("https", "http"))
    return found
