"""An uploaded list of people of two cells, and a broadcast to it."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from notifier.cells import forwards, lists
from notifier.ground.extensions import db
from notifier.ground.ids import parse
from notifier.models import Forward, Home, Upload, UploadMember, User
from notifier.people import uploads
from tests import celled
from tests.celled import Cell
from tests.conftest import Api
from tests.stored import rows

us, us_app, later = celled.us, celled.us_app, celled.later

LIST = "id,email,home_region\nann,ann@example.test,\nbob,bob@example.test,\ncid,,us\ndan,,mars\n"


@pytest.fixture
def ann(us: Cell) -> None:
    """She lives in `us`; `eu` has not heard of her."""
    with us.app.app_context():
        db.session.add(User(id="ann"))
        db.session.commit()


def uploaded(api: Api, text: str) -> str:
    headers = {"Authorization": f"Bearer {api.key}", "Content-Type": "text/csv"}
    shown: str = api.client.post("/api/v1/uploads", data=text.encode(), headers=headers).json["id"]
    return shown


def on_the_list(cell: Cell, upload_id: UUID) -> list[str]:
    with cell.app.app_context():
        mine = sa.select(UploadMember.user_id).where(UploadMember.upload_id == upload_id)
        return list(db.session.scalars(mine.order_by(UploadMember.user_id)))


@pytest.mark.slow
@pytest.mark.usefixtures("ann")
def test_each_row_goes_to_the_cell_where_its_person_lives(us: Cell, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "PART", 1)
    shown = uploaded(api, LIST)
    upload_id = parse("upl", shown)
    assert lists.read(upload_id) == 4
    assert [row.id for row in rows(User)] == ["bob"]
    told = api.get(f"/api/v1/uploads/{shown}").json
    assert (told["status"], told["created"], [bad["line"] for bad in told["bad"]]) == ("finished", 1, [5])
    assert [(row.user_id, row.region) for row in rows(Home)] == [("ann", "us"), ("cid", "us")]
    assert forwards.say_held() == 3
    assert (us.has(User), on_the_list(us, upload_id)) == (["ann", "cid"], ["ann", "cid"])
    with us.app.app_context():
        [there] = db.session.scalars(sa.select(Upload))
        assert (there.status, there.rows, there.created, there.changed, there.bad) == ("finished", 2, 1, 1, [])
    said = {"name": "Sale", "type": "promotional_offer", "audience": {"upload": shown}, "data": {"title": "Warm"}}
    made = api.post("/api/v1/broadcasts", said)
    assert [one["audience"] for one in api.get(f"/api/v1/broadcasts/{made.json['id']}").json["regions"]] == [1, 2]


def test_a_list_without_anybody_of_a_cell_is_known_there(us: Cell, api: Api) -> None:
    upload_id = parse("upl", uploaded(api, "id\nbob\n"))
    assert lists.read(upload_id) == 1
    assert forwards.say_held() == 1
    assert (us.has(Upload), on_the_list(us, upload_id), us.has(User)) == ([upload_id], [], [])


@pytest.mark.usefixtures("ann")
def test_while_a_cell_is_silent_that_might_know_them_the_list_waits(
    us: Cell, api: Api, later: Callable[[float], Any]
) -> None:
    us.goes()
    upload_id = parse("upl", uploaded(api, "id,email\nann,ann@example.test\n"))
    assert (lists.read(upload_id), rows(User)) == (0, [])
    us.comes()
    with later(60):
        assert uploads.ring_waiting() == 1
        assert lists.read(upload_id) == 1
        forwards.say_held()
    assert (rows(User), rows(Forward), on_the_list(us, upload_id)) == ([], [], ["ann"])


def test_nobody_but_a_cell_adds_rows(us: Cell, api: Api) -> None:
    assert api.post(lists.PATH, {"upload": f"upl_{'0' * 32}", "rows": [[2, "ann", {}]]}) == 404
    assert rows(Upload) == []


@pytest.mark.parametrize("nonsense", [[1], [[2, "a b", {}]], [[2, "ann", []]], [[2, "ann", {"email": "no address"}]]])
def test_rows_that_no_cell_has_written_are_refused(nonsense: list[Any]) -> None:
    with pytest.raises(lists.Rejected):
        lists.unpack(nonsense)
