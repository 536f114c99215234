"""Two cells: what each has a part of, shown and changed as one."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.access.keys import create_producer
from notifier.cells import brands, claims, forwards
from notifier.core.brand import Brand
from notifier.core.cells import keeper_of_claims
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ledgers import moves
from notifier.models import Broadcast, Claim, Delivery, Experiment, ExperimentVariant, Forward, Home, Producer, User
from notifier.pipeline.intake import expand
from notifier.words.brands import own_brand, set_brand
from tests import celled
from tests.celled import Cell, people
from tests.conftest import Api
from tests.stored import rows

us, us_app, later = celled.us, celled.us_app, celled.later

SAID = {"name": "Late", "type": "order_shipped", "audience": {"all": True}, "data": {"order_id": "A1"}}
WORDS = {"key": "tides", "contents": [{"channel": "*", "title": "Plain"}]}
VARIANT = {"name": "b", "weight": 40, "contents": [{"channel": "*", "title": "Bold"}]}
TIDES = "/api/v1/templates/tides"


def fail(app: APIFlask) -> None:
    """All mails of the broadcasts there."""
    with app.app_context():
        for broadcast in db.session.scalars(sa.select(Broadcast.id)).all():
            expand.expand(broadcast)
            db.session.close()
        with transaction() as session:
            ids = list(session.scalars(sa.select(Delivery.id).where(Delivery.channel == "email")))
            assert ids
            moves.move(ids, "queued")  # some wait for their turn
            moves.move(ids, "sending")
            moves.move(ids, "failed", outcome="permanent", code="mailbox_full")


def retrying(app: APIFlask) -> list[bool]:
    with app.app_context():
        return [row.retrying is not None for row in db.session.scalars(sa.select(Broadcast))]


def test_the_failed_part_of_a_broadcast_is_sent_again_in_the_cells_that_have_one(
    us: Cell, api: Api, app: APIFlask, later: Callable[[float], Any]
) -> None:
    people(api, ann="us", bob="eu")
    made = f"/api/v1/broadcasts/{api.post('/api/v1/broadcasts', SAID).json['id']}"
    assert api.post(f"{made}/retry-failed") == 409  # nothing has failed anywhere
    assert rows(Forward) == []
    fail(us.app)
    answer = api.post(f"{made}/retry-failed")
    assert (answer.status_code, [one["region"] for one in answer.json["regions"]]) == (200, ["eu", "us"])
    assert (retrying(app), retrying(us.app)) == ([False], [True])
    us.goes()
    fail(app)
    answer = api.post(f"{made}/retry-failed")
    assert [(one["region"], one["status"]) for one in answer.json["regions"]] == [("eu", "running"), ("us", "away")]
    assert (retrying(app), len(rows(Forward))) == ([True], 1)
    us.comes()
    with later(60):
        assert forwards.say_held() == 1
    assert rows(Forward) == []
    assert api.post(f"/api/v1/broadcasts/brd_{'0' * 32}/retry-failed") == 404


def test_an_experiment_is_the_same_in_all_cells_and_its_figures_are_of_all_people(
    us: Cell, api: Api, app: APIFlask, later: Callable[[float], Any]
) -> None:
    assert api.post("/api/v1/templates", WORDS) == 201
    assert api.post(f"{TIDES}@1/publish") == 200
    assert api.post(f"{TIDES}/variants", VARIANT) == 201
    reach(us.app, 300, 60)
    reach(app, 200, 20)
    found = api.get(f"{TIDES}/experiment").json
    assert [(one["name"], one["people"], one["opened"]) for one in found["variants"]] == [
        ("control", 500, 80),
        ("b", 500, 80),
    ]
    assert (found["variants"][0]["rate"], found["verdict"]) == (0.16, "no difference")
    assert found["regions"] == [{"region": "eu", "status": "running"}, {"region": "us", "status": "running"}]
    assert api.post(f"{TIDES}/experiment/stop", {"keep": "nonsense"}) == 422
    us.goes()
    assert api.post(f"{TIDES}/experiment/stop", {"keep": "b"}) == 200
    found = api.get(f"{TIDES}/experiment").json
    assert (found["variants"][0]["people"], found["regions"][1]) == (200, {"region": "us", "status": "away"})
    us.comes()
    with later(60):
        assert forwards.say_held() == 1
        assert api.get(f"{TIDES}/experiment").json["regions"][1] == {"region": "us", "status": "stopped"}
    with us.app.app_context():
        assert db.session.scalars(sa.select(Experiment.kept)).all() == ["b"]
    assert rows(Forward) == []


def reach(app: APIFlask, number: int, opened: int) -> None:
    with app.app_context(), transaction() as session:
        session.execute(sa.update(ExperimentVariant).values(people=number, opened=opened))


def test_a_brand_that_one_console_sets_holds_in_all_cells(
    us: Cell, app: APIFlask, later: Callable[[float], Any]
) -> None:
    acme = Brand("Acme", f"{app.extensions['settings'].public_url}/images/{'a' * 32}.png", "#ffd400", "1 Road")
    own = Brand(accent="#b42318")
    shop = create_producer("Shop").id
    us.goes()
    set_brand(None, acme, subject="installation", beside=lambda: brands.tell_others(acme, None))
    set_brand(shop, own, subject="Shop", beside=lambda: brands.tell_others(own, "Shop"))
    assert len(rows(Forward)) == 2
    us.comes()
    with later(60):
        assert forwards.say_held() == 2
    with us.app.app_context():
        there = db.session.scalars(sa.select(Producer.id).where(Producer.name == "Shop")).one()
        assert (own_brand(None), own_brand(there)) == (acme, own)
    assert rows(Forward) == []


def test_nobody_but_a_cell_sets_a_brand_by_its_door(us: Cell, api: Api) -> None:
    assert api.put("/cells/brands", {"brand": {"name": "Mallory"}}) == 404
    assert own_brand(None) == Brand()


def new_person(keeper: str) -> str:
    """Of whose claims this cell is the keeper."""
    return next(f"p{number}" for number in range(99) if keeper_of_claims(f"p{number}", ("eu", "us")) == keeper)


@pytest.mark.parametrize("keeper", ["eu", "us"])
def test_somebody_who_is_being_created_in_another_cell_is_created_there(
    us: Cell, api: Api, app: APIFlask, keeper: str
) -> None:
    ann, mail = new_person(keeper), {"email": "ann@example.test"}
    with {"eu": app, "us": us.app}[keeper].app_context():
        assert claims.keep({ann: "us"}, "us") == {}
    here = api.put(f"/api/v1/users/{ann}", {**mail, "home_region": "eu"})
    assert (here.status_code, here.headers["Retry-After"]) == (503, "10")
    inline = {"type": "order_shipped", "recipients": [{"id": ann, **mail}], "data": {"order_id": "A1"}}
    assert api.post("/api/v1/notifications?dry_run=true", inline) == 200
    assert rows(Home) == []
    answer = api.post("/api/v1/notifications", inline)
    assert [one["region"] for one in answer.json["regions"]] == ["us"]
    assert (rows(User), us.has(User), us.heard()) == ([], [ann], [(ann, "order_shipped")])


@pytest.mark.parametrize("keeper", ["eu", "us"])
def test_a_claim_that_came_to_nothing_lapses(
    us: Cell, api: Api, app: APIFlask, later: Callable[[float], Any], keeper: str
) -> None:
    ann = new_person(keeper)
    kept = {"eu": app, "us": us.app}[keeper]
    with kept.app_context():
        claims.keep({ann: "us"}, "us")
    with later(11):
        assert api.put(f"/api/v1/users/{ann}", {"email": "ann@example.test"}) == 201
        assert ([row.id for row in rows(User)], us.has(User)) == ([ann], [])
    with kept.app_context():
        assert db.session.scalars(sa.select(Claim.region)).all() == ["eu"]
        db.session.rollback()


def test_while_the_keeper_of_claims_is_away_only_those_are_created_whose_region_is_said(us: Cell, api: Api) -> None:
    ann = new_person("us")
    us.goes()
    assert api.put(f"/api/v1/users/{ann}", {"email": "ann@example.test"}) == 503
    assert api.put(f"/api/v1/users/{ann}", {"email": "ann@example.test", "home_region": "eu"}) == 201
