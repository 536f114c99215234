"""The brands of mails, stored: the installation's, and what producers have of their own.

Read by `words.compose` for each batch and cached as types are (`ground.kept`); set on a page of the console.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from urllib.parse import urlsplit
from uuid import UUID

import sqlalchemy as sa

from notifier.core import revisions
from notifier.core.brand import LONGEST_ADDRESS, LONGEST_LOGO, LONGEST_NAME, MOST_LINES, NO_BRAND, Brand, is_colour
from notifier.core.errors import Fault, Rejected
from notifier.core.revisions import refuse_stale
from notifier.ground.database import insert, transaction
from notifier.ground.extensions import db
from notifier.ground.kept import forget, kept
from notifier.ledgers import audit
from notifier.models import Brand as BrandRow
from notifier.words.clean import many_lines, one_line, web_address

INSTALLATION = UUID(int=0)
INSTALLATION_NAME = "installation"  # in the audit trail
_FIELDS = (BrandRow.name, BrandRow.logo, BrandRow.accent, BrandRow.address)


def brands_of(producer_ids: Iterable[UUID | None]) -> dict[UUID | None, Brand]:
    """As mails show them; None: the product's own mails. At most one query, none while the cache is fresh."""
    wanted = set(producer_ids)
    if not wanted:
        return {}
    found = kept("brands", [(id or INSTALLATION).hex for id in {None, *wanted}], _read)
    base = found[INSTALLATION.hex]
    return {id: found[id.hex].over(base) if id else base for id in wanted}


def own_brand(producer_id: UUID | None) -> Brand:
    """As it is stored, without what comes from the installation."""
    key = (producer_id or INSTALLATION).hex
    return _read({key})[key]


def _read(keys: set[str]) -> dict[str, Brand]:
    """One for each: a missing row is kept as well, as most producers have none."""
    rows = db.session.execute(sa.select(BrandRow.id, *_FIELDS).where(BrandRow.id.in_([UUID(key) for key in keys])))
    return {**dict.fromkeys(keys, NO_BRAND), **{id.hex: Brand(*fields) for id, *fields in rows}}


def cleaned(typed: Mapping[str, str | None], *, site_url: str | None = None) -> Brand:
    """The brand as it was typed, in the form that is stored. `site_url`: of the installation, whose own images may be
    its logo even where it has no TLS. Raises Rejected with a fault for each field.
    """
    brand = Brand(
        one_line(typed.get("name") or "") or None,
        (typed.get("logo") or "").strip() or None,
        (typed.get("accent") or "").strip().lower() or None,
        many_lines(typed.get("address") or "") or None,
    )
    faults = tuple(Fault(f"/{field}", "invalid", message) for field, message in _faults(brand, site_url))
    if faults:
        raise Rejected("validation_failed", "the brand is not in order", faults)
    return brand


def _faults(brand: Brand, site_url: str | None) -> Iterator[tuple[str, str]]:
    if len(brand.name or "") > LONGEST_NAME:
        yield "name", f"a name has at most {LONGEST_NAME} characters"
    if brand.accent and not is_colour(brand.accent):
        yield "accent", "write a colour as # and six digits, such as #2456d6"
    address = brand.address or ""
    if len(address) > LONGEST_ADDRESS or address.count("\n") >= MOST_LINES:
        yield "address", f"an address has at most {MOST_LINES} lines and {LONGEST_ADDRESS} characters"
    if brand.logo and not _may_be_logo(brand.logo, site_url):
        yield "logo", f"write the address of a picture: https://…, at most {LONGEST_LOGO} characters"
    elif brand.logo and not brand.name:
        yield "name", "a logo needs a name, which is shown where pictures are off"


def _may_be_logo(logo: str, site_url: str | None) -> bool:
    if len(logo) > LONGEST_LOGO or web_address(logo) is None:
        return False
    parts = urlsplit(logo)
    is_own = site_url is not None and logo.startswith(f"{site_url}/images/")
    return (parts.scheme == "https" or is_own) and parts.username is None


def revision_of(brand: Brand) -> str:
    return revisions.revision_of(asdict(brand))


def set_brand(
    producer_id: UUID | None,
    brand: Brand,
    *,
    subject: str,
    beside: Callable[[], None] = lambda: None,
    seen: str | None = None,
) -> None:
    """`brand` is `cleaned`; `subject`: whose it is, for the audit trail. Other processes follow within
    `kept.LIFE_S`. `beside`: what else is stored in the same transaction. `seen`: the `revision_of` the brand as its
    author was shown it. Raises Rejected if it is another one by now.
    """
    id = producer_id or INSTALLATION
    with transaction() as session:
        session.execute(insert(BrandRow).values(id=id).on_conflict_do_nothing())
        row = session.get_one(BrandRow, id, with_for_update=True, populate_existing=True)
        before = Brand(row.name, row.logo, row.accent, row.address)
        refuse_stale(seen, revision_of(before), "the brand")
        row.name, row.logo, row.accent, row.address = brand.name, brand.logo, brand.accent, brand.address
        if before != brand:
            audit.write("brand.set", subject, before=asdict(before), after=asdict(brand))
        beside()
    forget()
