"""One-time set-up of an installation: its own secrets, the catalogue, a first key, a first admin.

Called by the commands and by `create_app`. Everything here may run again, in several processes at once; existing rows
keep people's changes.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import inspect, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session, scoped_session
from sqlalchemy.orm.attributes import flag_modified

from notifier import catalogue, channels
from notifier.access import accounts, keys
from notifier.catalogue import templates
from notifier.channels import serving
from notifier.core.submission import InlineRecipient
from notifier.core.wording import FIELDS, PUBLISHED, Words
from notifier.ground.clock import now
from notifier.ground.config import BadSettings, Settings, current_settings
from notifier.ground.database import retried, transaction
from notifier.ground.encryption import vault
from notifier.ground.extensions import db
from notifier.ledgers import audit
from notifier.models import (
    Account,
    AuditEntry,
    DigestKey,
    EncryptionKey,
    EventType,
    InstallationSecret,
    Producer,
    Template,
    TemplateContent,
    User,
)
from notifier.models.event_type import TYPE_SAVED
from notifier.models.producer import SCOPES
from notifier.operations import digest_keys, encryption_keys
from notifier.people import profiles

DIGEST_KEY = "digest_key"
SECRETS = (DIGEST_KEY, *channels.MADE)
# A type's two times lay this close together when the catalogue wrote them, before both were written as one.
_ONE_WRITING = timedelta(seconds=1)
ADMIN_USER_ID = "admin"
_ADMIN_EMAIL = "admin@localhost.test"


def open_vault() -> bool:
    """Takes up the secrets that `migrate` has made. Raises KeysDoNotFit if the ring cannot decrypt them; False before
    the first migration.
    """
    tables = inspect(db.engine).get_table_names()
    if InstallationSecret.__tablename__ not in tables:
        return False
    if EncryptionKey.__tablename__ in tables:
        encryption_keys.take_up()
    made = {
        row.name: vault.decrypt(row.sealed, f"installation_secret.{row.name}")
        for row in db.session.scalars(select(InstallationSecret))
    }
    db.session.rollback()
    if DIGEST_KEY in made:
        vault.use_digest_keys([made[DIGEST_KEY]])
        if DigestKey.__tablename__ in tables:
            digest_keys.take_up()
            db.session.rollback()
    serving.registry().use_made(settings_of_providers(made))
    return made.keys() >= set(SECRETS)


def settings_of_providers(made: Mapping[str, bytes]) -> dict[str, str]:
    """Those of the installation's secrets that providers declare: the setting's name → its value."""
    return {setting.name: made[name].decode() for name, setting in channels.MADE.items() if name in made}


def _make(name: str) -> bytes:
    setting = channels.MADE.get(name)
    return setting.make().encode() if setting and setting.make else secrets.token_bytes(32)


def prepare() -> None:
    """After the migrations: secrets, catalogue, and the key and admin that the settings name."""
    _make_secrets()
    load_catalogue(catalogue.load())
    settings = current_settings()
    if settings.notifier_producer_key:
        keys.ensure_key(settings.notifier_producer_key, producer_name="Environment", scopes=SCOPES)
    if settings.notifier_admin_email and settings.notifier_admin_password:
        _ensure_admin_of_settings(settings.notifier_admin_email, settings.notifier_admin_password)


def _make_secrets() -> None:
    if open_vault():
        return
    rows = [{"name": name, "sealed": vault.encrypt(_make(name), f"installation_secret.{name}")} for name in SECRETS]
    with transaction() as session:
        insert = (sqlite if db.engine.dialect.name == "sqlite" else postgresql).insert(InstallationSecret)
        session.execute(insert.on_conflict_do_nothing(), rows)
    open_vault()


@retried
def load_catalogue(types: Sequence[catalogue.CatalogueType]) -> int:
    """Stores the types that are not there yet, each with version 1 of its template. Returns how many were new.

    Types stored by an older release are updated, unless somebody has saved them since; of their templates a new version
    is published, unless somebody has written one.
    """
    with transaction() as session:
        present = {row.key: row for row in session.scalars(select(EventType).execution_options(populate_existing=True))}
        saved = set(session.scalars(select(AuditEntry.subject).where(AuditEntry.action == TYPE_SAVED)))
        for entry in types:
            row = present.get(entry.key)
            if row is None:
                _store_type(session, entry)
            elif entry.key not in saved and row.updated_at - row.created_at < _ONE_WRITING:
                _renew(row, _columns(entry))
        _renew_words(session, [entry for entry in types if entry.key in present])
    return len({entry.key for entry in types} - present.keys())


def _renew(row: EventType, columns: Mapping[str, Any]) -> None:
    changed = {name: value for name, value in columns.items() if getattr(row, name) != value}
    for name, value in changed.items():
        setattr(row, name, value)
    if changed:
        row.updated_at = row.created_at  # nobody has saved it
        flag_modified(row, "updated_at")


def _renew_words(session: scoped_session[Session], types: Sequence[catalogue.CatalogueType]) -> None:
    """A published version never changes, so the words of this release become the next one."""
    by_people = AuditEntry.action.in_(("template.created", "template.saved", "template.published"))
    subjects = session.scalars(select(AuditEntry.subject).where(by_people, AuditEntry.actor != audit.ITSELF))
    written = {subject.partition("@")[0] for subject in subjects}
    entries = {entry.key: entry for entry in types if entry.key not in written}
    rows = session.execute(
        select(Template.key, TemplateContent)
        .join(TemplateContent, TemplateContent.template_id == Template.id)
        .where(Template.key.in_(entries), Template.status == PUBLISHED)
    )
    stored: dict[str, templates.Contents] = {}
    for key, content in rows:
        stored[key] = {**stored.get(key, {}), **_words(content)}
    with audit.acting_as(None):  # it is the product's own doing
        for key, words in stored.items():
            shipped: templates.Contents = {}
            for of_file in entries[key].contents:
                shipped = {**shipped, **_words(of_file)}
            if words != shipped and not templates.is_tried(key):
                templates.store_published(session, key, shipped)


def _words(content: TemplateContent | catalogue.CatalogueContent) -> templates.Contents:
    return {(content.channel, content.locale): Words(**{name: getattr(content, name) for name in FIELDS})}


def _columns(entry: catalogue.CatalogueType) -> dict[str, Any]:
    return {
        "titles": dict(entry.titles),
        "descriptions": dict(entry.descriptions),
        "category": entry.category,
        "priority": entry.priority,
        "channels": list(entry.channels),
        "schema": entry.schema,
        "is_mandatory": entry.is_mandatory,
        "to_admins": entry.to_admins,
        "is_internal": entry.is_internal,
        "dedupe_window_s": entry.dedupe_window_s,
        "tracks_opens": entry.tracks_opens,
        "tracks_clicks": entry.tracks_clicks,
    }


def _store_type(session: scoped_session[Session], entry: catalogue.CatalogueType) -> None:
    stored_at = now()
    session.add(EventType(key=entry.key, created_at=stored_at, updated_at=stored_at, **_columns(entry)))
    template = Template(key=entry.key, version=1, status=PUBLISHED, published_at=now())
    session.add(template)
    session.flush()
    session.add_all(
        TemplateContent(
            template_id=template.id,
            channel=content.channel,
            locale=content.locale,
            **{name: getattr(content, name) for name in FIELDS},
        )
        for content in entry.contents
    )


@dataclass(frozen=True, slots=True)
class FirstStart:
    """The data that `up` shows once. None for a value that existed already or was given by a setting."""

    admin_email: str | None
    admin_password: str | None
    producer_key: str | None


def first_start(settings: Settings) -> FirstStart:
    """Makes what a new installation lacks to be used at once: an admin to sign in as, and a producer key."""
    email = password = key = None
    if not db.session.scalar(select(Account.id).where(Account.role == "admin").limit(1)):
        email = settings.notifier_admin_email or _ADMIN_EMAIL
        password = settings.notifier_admin_password or secrets.token_urlsafe(12)
        _ensure_admin_of_settings(email, password)
    if not db.session.scalar(select(Producer.id).limit(1)):
        producer = keys.create_producer("First producer")
        _, key = keys.create_key(producer.id, scopes=SCOPES)
    return FirstStart(email, password, key)


def _ensure_admin_of_settings(email: str, password: str) -> None:
    """Raises BadSettings."""
    try:
        ensure_admin(email, password)
    except ValueError as error:
        raise BadSettings(f"NOTIFIER_ADMIN_EMAIL and NOTIFIER_ADMIN_PASSWORD make no account: {error}") from None


@retried
def ensure_admin(email: str, password: str) -> None:
    """An admin account with a user of its own, so that alerts reach it; an existing account is left alone, also if
    another process has made it meanwhile. One transaction: without the account there is no such user either. Raises
    ValueError for an unusable e-mail or password.
    """
    if db.session.scalar(select(Account.id).where(Account.email == email.strip().lower())):
        return
    address = accounts.check_usable(email, password)
    password_hash = accounts.hash_password(password)
    profile = {"email": email.strip()}
    is_reachable = not profiles.check(profile)
    with transaction() as session:
        user_id = ADMIN_USER_ID if session.get(User, ADMIN_USER_ID) is None else f"admin-{secrets.token_hex(4)}"
        if is_reachable:
            profiles.upsert([InlineRecipient(user_id, profile)], is_vouched=True)
        accounts.add_account(address, password_hash, "admin", user_id)
