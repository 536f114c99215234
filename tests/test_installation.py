"""What is made once for an installation, and is then the same for every process."""

import sqlalchemy as sa
from apiflask import APIFlask

from notifier import channels, installation
from notifier.app import create_app
from notifier.config import Settings
from notifier.database import transaction
from notifier.extensions import db
from notifier.models import InstallationSecret


def secrets() -> dict[str, bytes]:
    db.session.close()
    return {row.name: bytes(row.sealed) for row in db.session.scalars(sa.select(InstallationSecret))}


def test_preparing_again_keeps_what_was_made(app: APIFlask) -> None:
    before = secrets()
    installation.prepare()
    assert secrets() == before
    assert set(before) == {"digest_key", "vapid_key"}


def test_every_process_knows_the_key_that_browsers_subscribe_with(app: APIFlask, settings: Settings) -> None:
    key = channels.registry().browser_key()
    other = create_app(settings, socketio_queue=False)
    with other.app_context():
        assert channels.registry().browser_key() == key is not None
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
            session.execute(sa.update(InstallationSecret).where(InstallationSecret.name == "vapid_key").values(sealed=before["vapid_key"]))
        installation.open_vault()


def test_push_services_are_told_whom_to_write_to(app: APIFlask) -> None:
    [contact] = [adapter.options["VAPID_CONTACT"] for account, adapter in channels.registry().accounts() if account.name == "webpush"]
    assert contact == "mailto:notifier@localhost"
