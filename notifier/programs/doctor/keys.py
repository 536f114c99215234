"""The keys: are they set, strong enough, and the ones that the database was written with?"""

import stat
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from notifier.ground.encryption import KeysDoNotFit, Vault, key_id_of
from notifier.ground.extensions import db
from notifier.models import EncryptionKey, InstallationSecret
from notifier.models.types import purposes_of
from notifier.operations import encryption_keys
from notifier.operations.installation import SECRETS
from notifier.programs.doctor.findings import Finding, fault, ok, warning
from notifier.programs.doctor.patient import Patient

# Rows of each table from either end: a key that was taken away leaves the oldest unreadable, a wrong one the newest
SAMPLE = 200
_SHORTEST_SECRET = 32
_FEWEST_CHARACTERS = 10
_FEWEST_BYTES = 16  # different ones in a key; of 32 random bytes about 30 differ
_ROTATE = "Put a new one in front; docs/keys.md says how."
_MAKE_KEY = 'Generate one: python -c "from notifier.ground.encryption import KeyRing; print(KeyRing.generate())"'


def settings(patient: Patient) -> Iterator[Finding]:
    """Checks the keys as far as is possible without a database."""
    given = patient.settings
    complain = fault if given.is_production else warning
    if not given.secret_key or not given.encryption_keys.keys:
        missing = [
            name
            for name, value in (("SECRET_KEY", given.secret_key), ("ENCRYPTION_KEYS", given.encryption_keys.keys))
            if not value
        ]
        yield fault(f"{' and '.join(missing)}: neither set nor generated yet", "Run: python -m notifier migrate")
        return
    if len(given.secret_key) < _SHORTEST_SECRET or len(set(given.secret_key)) < _FEWEST_CHARACTERS:
        remedy = (
            'Set a random one, which ends all sessions: python -c "import secrets; print(secrets.token_urlsafe(48))"'
        )
        yield complain(f"SECRET_KEY can be guessed: it should be at least {_SHORTEST_SECRET} random characters", remedy)
    else:
        yield ok("SECRET_KEY is long enough")
    keys = given.encryption_keys.keys
    ids = [key_id for key_id, _ in keys]
    weak = [
        key_id
        for key_id, key in keys
        if len(set(key)) < _FEWEST_BYTES or (key.isascii() and key.decode().isprintable())
    ]
    if len(set(ids)) < len(ids):
        yield fault(
            "two ENCRYPTION_KEYS have the same id, so one of them is never used", "Give every key an id of its own."
        )
    if weak:
        yield complain(f"the encryption key {', '.join(weak)} is not random", f"{_MAKE_KEY} {_ROTATE}")
    if not weak and len(set(ids)) == len(ids):
        yield ok(f"ENCRYPTION_KEYS: {', '.join(ids)}; {ids[0]} encrypts")
    yield from _files(given.notifier_home)


def _files(home: Path) -> Iterator[Finding]:
    """Whether others can read the files with generated secrets."""
    for path in (home / "secret_key", home / "encryption_keys"):
        if path.exists() and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            yield warning(f"other users of this machine can read {path}", f"Run: chmod 600 {path}")


def stored(patient: Patient) -> Iterator[Finding]:
    """Whether what is encrypted in the database can be read."""
    vault = patient.vault
    if vault is None:
        return
    yield from _missing(vault)
    rows = db.session.scalars(sa.select(InstallationSecret).where(InstallationSecret.name.in_(SECRETS)))
    try:
        made = {row.name: vault.decrypt(bytes(row.sealed), f"installation_secret.{row.name}") for row in rows}
    except KeysDoNotFit as error:
        yield fault(
            f"the keys do not fit the database: {error}",
            "Start with the ENCRYPTION_KEYS it was written with: add the missing one at their end.",
        )
        return
    missing = sorted(set(SECRETS) - made.keys())
    if missing:
        yield fault(f"the database has no {' and no '.join(missing)}", "Run: python -m notifier migrate")
    else:
        yield ok("the keys fit the database")
    yield from _samples(vault)


def _missing(vault: Vault) -> Iterator[Finding]:
    """Keys that have encrypted here, and are not given any more."""
    noted = {row.id: row.unused_at for row in db.session.scalars(sa.select(EncryptionKey).order_by(EncryptionKey.id))}
    gone = encryption_keys.missing_of(noted, vault.key_ids)
    if gone:
        names = " and ".join(gone)
        yield fault(
            f"something may still be encrypted with the key {names}, which ENCRYPTION_KEYS no longer has",
            f"Put it back at the end; if it is lost, run: python -m notifier keys forget {gone[0]}",
        )


def _samples(vault: Vault) -> Iterator[Finding]:
    """Rows from both ends of every table that holds something encrypted."""
    unreadable: dict[str, list[str]] = {}
    count = 0
    for table in db.metadata.sorted_tables:
        sealed = {table.c[name]: purpose for name, purpose in purposes_of(table).items()}
        raw = [sa.type_coerce(column, sa.LargeBinary) for column in sealed]
        for end in (sa.asc, sa.desc) if sealed else ():
            rows = db.session.execute(
                sa.select(*raw).select_from(table).order_by(*(end(key) for key in table.primary_key)).limit(SAMPLE)
            )
            for row in rows:
                for value, purpose in zip(row, sealed.values(), strict=True):
                    count += value is not None
                    if value is not None and not _opens(vault, bytes(value), purpose):
                        unreadable.setdefault(key_id_of(value), []).append(purpose)
    for key_id, purposes in sorted(unreadable.items()):
        where = ", ".join(sorted(set(purposes)))
        what = (
            f"{len(purposes):,} of {count:,} encrypted values looked at cannot be read: written with the key "
            f"{key_id} ({where})"
        )
        yield fault(
            what, f"Put the key {key_id} that they were written with at the end of ENCRYPTION_KEYS, on every machine."
        )
    if not unreadable:
        yield ok(f"{count:,} encrypted values, the oldest and the newest, can be read")


def _opens(vault: Vault, sealed: bytes, purpose: str) -> bool:
    try:
        vault.decrypt(sealed, purpose)
    except KeysDoNotFit:
        return False
    return True
