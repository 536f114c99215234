"""What is made once for an installation, and is then the same for every process."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask
from sqlalchemy.exc import DBAPIError

from notifier import catalogue, channels
from notifier.app import create_app
from notifier.catalogue import experiments, templates
from notifier.catalogue import types as event_types
from notifier.catalogue.experiments import Proposal
from notifier.channels import serving
from notifier.core.wording import Words
from notifier.ground.config import BadSettings, Settings
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ledgers import audit
from notifier.models import (
    Account,
    Address,
    AuditEntry,
    EventType,
    Experiment,
    InstallationSecret,
    Template,
    TemplateContent,
    User,
)
from notifier.operations import installation
from tests.stored import rows
from tests.stored import sent_statements as statements


def secrets() -> dict[str, bytes]:
    db.session.close()
    return {row.name: bytes(row.sealed) for row in db.session.scalars(sa.select(InstallationSecret))}


def test_preparing_again_keeps_what_was_made(app: APIFlask) -> None:
    before = secrets()
    installation.prepare()
    assert secrets() == before
    assert set(before) == {"digest_key", *channels.MADE}
    assert "vapid_key" in before


@pytest.mark.parametrize(
    ("email", "password"), [("ada@example.test", ""), ("ada@example.test", "x" * 1_025), ("ada", "a good long one")]
)
def test_of_an_admin_that_cannot_be_nothing_is_stored(app: APIFlask, email: str, password: str) -> None:
    with pytest.raises(ValueError, match=r"must have|not valid"):
        installation.ensure_admin(email, password)
    assert (rows(User), rows(Address), rows(Account)) == ([], [], [])


REFUSING = {
    "sqlite": ["CREATE TRIGGER refused BEFORE INSERT ON account BEGIN SELECT RAISE(ABORT, 'refused'); END"],
    "postgresql": [
        "CREATE FUNCTION refused() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$",
        "CREATE TRIGGER refused BEFORE INSERT ON account FOR EACH ROW EXECUTE FUNCTION refused()",
    ],
}
ACCEPTING = {
    "sqlite": ["DROP TRIGGER IF EXISTS refused"],
    "postgresql": ["DROP TRIGGER IF EXISTS refused ON account", "DROP FUNCTION IF EXISTS refused"],
}


@pytest.fixture
def refused_accounts(app: APIFlask) -> Iterator[Callable[[], None]]:
    """No account can be stored until this is called."""

    def execute(statements_of: dict[str, list[str]]) -> None:
        db.session.close()
        with db.engine.begin() as connection:
            for statement in statements_of[db.engine.dialect.name]:
                connection.exec_driver_sql(statement)

    execute(REFUSING)
    yield lambda: execute(ACCEPTING)
    execute(ACCEPTING)


def test_an_admin_that_breaks_off_half_way_leaves_no_user_without_an_account(
    app: APIFlask, refused_accounts: Callable[[], None]
) -> None:
    with pytest.raises(DBAPIError, match="refused"):
        installation.ensure_admin("ada@example.test", "a good long one")
    assert (rows(User), rows(Address), rows(Account)) == ([], [], [])
    refused_accounts()
    installation.ensure_admin("ada@example.test", "a good long one")
    assert [(row.user_id, row.email) for row in rows(Account)] == [(installation.ADMIN_USER_ID, "ada@example.test")]
    assert [row.id for row in rows(User)] == [installation.ADMIN_USER_ID]


def test_an_admin_of_the_settings_that_cannot_be_is_told_in_a_sentence(
    app: APIFlask, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = replace(app.extensions["settings"], notifier_admin_email="ada", notifier_admin_password="a good long one")
    monkeypatch.setitem(app.extensions, "settings", wrong)
    for prepare in (installation.prepare, lambda: installation.first_start(wrong)):
        with pytest.raises(BadSettings, match=r"NOTIFIER_ADMIN_EMAIL and .* make no account: the e-mail address"):
            prepare()


def test_every_process_knows_the_key_that_browsers_subscribe_with(app: APIFlask, settings: Settings) -> None:
    key = serving.registry().public_key("webpush")
    other = create_app(settings, socketio_queue=False)
    with other.app_context():
        assert serving.registry().public_key("webpush") == key is not None
        db.engine.dispose()


def test_an_installation_from_before_gets_a_key_and_keeps_its_digests(app: APIFlask) -> None:
    before = secrets()
    try:
        with transaction() as session:
            session.execute(sa.delete(InstallationSecret).where(InstallationSecret.name == "vapid_key"))
        installation.prepare()
        after = secrets()
        assert after["digest_key"] == before["digest_key"]
        assert after["vapid_key"] != before["vapid_key"]
    finally:  # the other tests of this database go on with what they have
        with transaction() as session:
            session.execute(
                sa.update(InstallationSecret)
                .where(InstallationSecret.name == "vapid_key")
                .values(sealed=before["vapid_key"])
            )
        installation.open_vault()


def test_push_services_are_told_whom_to_write_to(app: APIFlask) -> None:
    [contact] = [
        adapter.options["VAPID_CONTACT"]
        for account, adapter in serving.registry().accounts()
        if account.name == "webpush"
    ]
    assert contact == "mailto:notifier@localhost"


# ---- the catalogue of an older release


@pytest.fixture
def older(app: APIFlask) -> Iterator[Callable[..., EventType]]:
    """`older("comment", dedupe_window_s=None)`: as the older release had stored it. → the type as `load_catalogue`
    leaves it.
    """
    keys = list[str]()

    def load(key: str, *, saved: bool = False, **columns: Any) -> EventType:
        keys.append(key)
        with transaction() as session:
            row = session.get_one(EventType, key)
            for name, value in columns.items():
                setattr(row, name, value)
            row.updated_at = row.created_at + timedelta(microseconds=900)
        if saved:
            fields = {name: getattr(_type(key), name) for name in event_types.FIELDS}
            event_types.put(key, fields | {"priority": "low"})
        assert installation.load_catalogue(catalogue.load()) == 0
        return _type(key)

    yield load
    with transaction() as session:
        session.execute(sa.delete(EventType).where(EventType.key.in_(keys)))
        session.execute(sa.delete(Experiment).where(Experiment.key.in_(keys)))
        session.execute(sa.delete(Template).where(Template.key.in_(keys)))
    installation.load_catalogue(catalogue.load())


def _type(key: str) -> EventType:
    db.session.close()
    return db.session.get_one(EventType, key)


def test_a_type_that_nobody_has_saved_becomes_as_it_is_in_this_release(older: Callable[..., EventType]) -> None:
    row = older("comment", dedupe_window_s=None, channels=["inapp"])
    assert (row.dedupe_window_s, row.channels) == (3_600, ["inapp", "push", "email"])
    assert row.updated_at == row.created_at


def test_a_type_that_an_admin_has_saved_stays_as_it_is(older: Callable[..., EventType]) -> None:
    row = older("comment", saved=True, dedupe_window_s=None)
    assert (row.dedupe_window_s, row.priority) == (None, "low")


def test_a_type_that_was_saved_before_there_was_a_trail_stays_as_it_is(older: Callable[..., EventType]) -> None:
    older("comment", dedupe_window_s=3_600)
    with transaction() as session:
        row = session.get_one(EventType, "comment")
        row.dedupe_window_s, row.updated_at = 0, row.created_at + timedelta(seconds=5)
    installation.load_catalogue(catalogue.load())
    assert _type("comment").dedupe_window_s == 0


def test_words_that_nobody_has_changed_become_those_of_this_release(older: Callable[..., EventType]) -> None:
    with transaction() as session:  # as a release without French had it
        [template] = session.scalars(sa.select(Template).where(Template.key == "comment"))
        of_it = TemplateContent.template_id == template.id
        session.execute(sa.delete(TemplateContent).where(of_it, TemplateContent.locale == "fr"))
    older("comment")
    rows = db.session.execute(
        sa.select(Template.version, Template.status, sa.func.count())
        .join(TemplateContent, TemplateContent.template_id == Template.id)
        .where(Template.key == "comment")
        .group_by(Template.version, Template.status)
        .order_by(Template.version)
    ).all()
    assert rows == [(1, "archived", 15), (2, "published", 20)]


def _write() -> None:
    templates.publish("comment", templates.create("comment", {("*", "en"): Words("A comment")}))


def _keep() -> None:
    """Words that were a variant from the beginning, and no draft."""
    tried = {("*", locale): Words("A comment") for locale in ("en", "de", "fr", "es")}
    experiments.add("comment", Proposal("b", 50, tried), starts=True)
    experiments.stop("comment", "b")


@pytest.mark.parametrize("write", [_write, _keep])
def test_words_that_somebody_has_written_stay_as_they_are(
    older: Callable[..., EventType], write: Callable[[], None]
) -> None:
    with audit.acting_as("ada@example.test"):
        write()
    older("comment")
    published = sa.select(Template.version).where(Template.key == "comment", Template.status == "published")
    assert db.session.scalars(published).all() == [2]
    with transaction() as session:  # a trail of it would keep the words from being renewed in other tests
        session.execute(sa.delete(AuditEntry).where(AuditEntry.subject.startswith("comment")))


def test_loading_the_catalogue_again_writes_nothing(app: APIFlask) -> None:
    with statements() as sent:
        installation.load_catalogue(catalogue.load())
    assert [statement for statement in sent if not statement.startswith(("SELECT", "BEGIN"))] == []
