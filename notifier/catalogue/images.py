"""Images for messages: taken in, found by their address, and deleted once nothing refers to them.

Called by the doors. An image is addressed by the digest of its bytes, so that whoever has it may keep it for good. It
stands in the database, since every web process serves it, on whatever machine.
"""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import sqlalchemy as sa
import structlog

from notifier.catalogue.image_files import MEDIA_TYPES, clean
from notifier.core.errors import Rejected
from notifier.ground import process_pool
from notifier.ground.config import current_settings
from notifier.ground.database import insert, retried, transaction
from notifier.ground.extensions import db
from notifier.ledgers import audit
from notifier.models import Image
from notifier.queries import images as queries

MOST_STORED = 500_000_000  # bytes, of all images together
_LONGEST_NAME = 200
_DIGEST = 32  # characters of the hexadecimal SHA-256: no two files are ever found that share them by chance

__all__ = ["MEDIA_TYPES", "add", "address", "delete", "find", "path"]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Stored:
    data: bytes
    media_type: str


def add(file: bytes, name: str) -> Image:
    """The image in this file, stored once however often it comes. `name`: the file's. Raises Rejected."""
    made = process_pool.run(process_pool.AUTHORS, clean, file)
    digest = sha256(made.data).hexdigest()[:_DIGEST]
    fields = {
        "digest": digest,
        "extension": made.extension,
        "name": _shown(name) or f"image.{made.extension}",
        "width": made.width,
        "height": made.height,
        "frames": made.frames,
        "size": len(made.data),
        "data": made.data,
    }
    _store(fields)
    return queries.one(digest)


@retried
def _store(fields: dict[str, Any]) -> None:
    with transaction() as session:
        new = session.execute(insert(Image.__table__).values(**fields).on_conflict_do_nothing())
        if not new.rowcount:  # type: ignore[attr-defined]
            return
        if (session.scalar(sa.select(sa.func.sum(Image.size))) or 0) > MOST_STORED:
            most = MOST_STORED // 1_000_000
            raise Rejected("conflict", f"all images together may have {most} MB: delete some that nothing uses")
        about = {key: fields[key] for key in ("name", "width", "height", "size")}
        audit.write("image.uploaded", fields["digest"], after=about)
        log.info("image.uploaded", image=fields["digest"], bytes=fields["size"])


def _shown(name: str) -> str:
    """Without a path, and without characters that no page shows."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return "".join(character for character in last if character.isprintable()).strip()[:_LONGEST_NAME]


def find(digest: str, extension: str) -> Stored | None:
    statement = sa.select(Image.data).where(Image.digest == digest, Image.extension == extension)
    data = db.session.scalar(statement)
    return None if data is None else Stored(data, MEDIA_TYPES[extension])


def address(image: Image) -> str:
    """Where people's programs load it from: CDN_URL, or else ourselves."""
    settings = current_settings()
    return f"{settings.cdn_url or settings.public_url}{path(image)}"


def path(image: Image) -> str:
    return f"/images/{image.digest}.{image.extension}"


@retried
def delete(digest: str) -> None:
    """For good: mails that have gone out show it no more. Raises Rejected while a published template, a variant of an
    experiment or a brand refers to it.
    """
    with transaction() as session:
        image = queries.one(digest)
        users = sorted({use.key for use in queries.uses().get(digest, ()) if use.is_sent})
        if users:
            raise Rejected("conflict", f"this image is used by {', '.join(users[:5])}: publish them without it first")
        if queries.is_a_logo(digest):
            raise Rejected("conflict", "this image is the logo of a brand: give that another one first")
        audit.write("image.deleted", digest, before={"name": image.name})
        session.execute(sa.delete(Image).where(Image.digest == digest).execution_options(synchronize_session=False))
