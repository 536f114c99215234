"""Two cells for tests: the test's own app is the cell `eu`, and `us` is an app beside it, which can be away.

Import the fixtures `us`, `us_app` and `later` where they are wanted.
"""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import time_machine
from apiflask import APIFlask
from flask_migrate import upgrade
from werkzeug.serving import BaseWSGIServer, make_server

from notifier.app import create_app
from notifier.ground.cells import Cells
from notifier.ground.clock import now
from notifier.ground.config import Settings
from notifier.ground.extensions import db
from notifier.models import EventType, InstallationSecret, Notification
from notifier.operations import installation
from tests.conftest import Api

KEY = "k" * 40
KEPT = ("event_type", "template", "template_content", "installation_secret", "event_stream", "audit_entry")


class Cell:
    """The cell `us`, which can be away."""

    def __init__(self, app: APIFlask) -> None:
        self.app = app
        self.calls = 0
        self.busy: list[int] = []  # connections of the other cell's database that were in use meanwhile
        self.asks: Callable[[], int] = lambda: 0
        self.server: BaseWSGIServer | None = None
        self.port = 0
        self.comes()

    def comes(self) -> None:
        self.server = make_server("127.0.0.1", self.port, self._count, threaded=True)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def goes(self) -> None:
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    def _count(self, environ: Any, start: Any) -> Any:
        self.calls += 1
        self.busy.append(self.asks())
        return self.app(environ, start)

    def has(self, model: Any) -> list[Any]:
        """The keys of the rows it has."""
        with self.app.app_context():
            [key] = sa.inspect(model).primary_key
            return list(db.session.scalars(sa.select(key).order_by(key)))

    def heard(self) -> list[tuple[str, str]]:
        """Who was told of what."""
        with self.app.app_context():
            told = sa.select(Notification.user_id, Notification.type).order_by(Notification.id)
            return [(row.user_id, row.type) for row in db.session.execute(told)]


@pytest.fixture(scope="module")
def us_app(migrated_app: APIFlask, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> APIFlask:
    """With the secrets of the test's own app: a process has one vault."""
    with migrated_app.app_context():
        secrets = [dict(row) for row in db.session.execute(sa.select(InstallationSecret.__table__)).mappings()]
        db.session.rollback()
    home: Path = tmp_path_factory.mktemp("us")
    url = f"sqlite:///{home / 'us.db'}"
    cells = Cells("us", {"eu": "http://127.0.0.1:9"}, (KEY,))
    app = create_app(
        replace(settings, notifier_home=home, database_url=url, redis_url=f"{settings.redis_url}/1", region=cells)
    )
    with app.app_context():
        upgrade()
        db.session.execute(sa.insert(InstallationSecret.__table__), secrets)
        db.session.commit()
        installation.prepare()
    return app


@pytest.fixture
def us(app: APIFlask, us_app: APIFlask, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cell]:
    """The test's own app is the cell `eu`."""
    cell = Cell(us_app)
    cells = Cells("eu", {"us": f"http://127.0.0.1:{cell.port}"}, (KEY,))
    monkeypatch.setitem(app.extensions, "settings", replace(app.extensions["settings"], region=cells))
    for kept in ("cells_pool", "cells_places"):
        app.extensions.pop(kept, None)
    yield cell
    cell.goes()
    with us_app.app_context():
        for table in reversed(db.metadata.sorted_tables):
            if table.name not in KEPT:
                db.session.execute(sa.delete(table))
        db.session.execute(sa.delete(EventType).where(EventType.key == "kiln"))
        db.session.commit()


@pytest.fixture
def later() -> Callable[[float], Any]:
    def call(seconds: float) -> Any:
        return time_machine.travel(now() + timedelta(seconds=seconds), tick=True)

    return call


def people(api: Api, **regions: str) -> None:
    for name, region in regions.items():
        assert api.put(f"/api/v1/users/{name}", {"email": f"{name}@example.test", "home_region": region}) == 201
