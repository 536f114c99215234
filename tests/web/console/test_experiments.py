"""Experiments in the console: a draft becomes a variant, is compared, and kept."""

from collections.abc import Callable

import pytest
import sqlalchemy as sa

from notifier.catalogue import experiments, templates
from notifier.catalogue.experiments import Proposal
from notifier.core.submission import InlineRecipient, Submission
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.models import ExperimentVariant
from notifier.people import profiles
from notifier.pipeline.delivery.deliver import deliver
from notifier.pipeline.intake import broadcasts, expand
from notifier.pipeline.intake.broadcasts import Draft
from notifier.pipeline.intake.item import Caller
from notifier.pipeline.upkeep import broadcast_hours
from notifier.queries import experiments as queries
from notifier.queries.broadcasts import one
from notifier.queries.notifications import Sight
from tests.experimenting import BOLD, KEY, begin, dealt, waves  # noqa: F401 (a fixture)
from tests.stored import deliveries
from tests.web.conftest import Visitor, seen_in

pytestmark = pytest.mark.usefixtures("waves")
HOME = f"/admin/templates/{KEY}"


@pytest.fixture
def admin(signed_in: Callable[..., Visitor]) -> Visitor:
    return signed_in("admin")


def figures(**counts: tuple[int, int]) -> None:
    with transaction() as session:
        for name, (people, opened) in counts.items():
            mine = sa.update(ExperimentVariant).where(ExperimentVariant.name == name)
            session.execute(mine.values(people=people, opened=opened))


def state() -> tuple[str, str | None]:
    db.session.rollback()
    found = queries.one(KEY)
    return found["status"], found["kept"]


def test_from_a_draft_to_what_is_kept(admin: Visitor) -> None:
    assert "write them in a new draft first" in admin.get(HOME).text
    templates.create(KEY, {("*", "en"): BOLD})
    wrong = admin.post(f"{HOME}/experiment/variants", {"version": "2", "name": "B!", "weight": "100", "goal": "opened"})
    assert wrong.status_code == 422
    assert "the name is 1 to 32 of" in wrong.text.replace("The name", "the name")
    assert "something must be left to the control" in wrong.text
    said = {"version": "2", "name": "b", "weight": "30", "goal": "opened"}
    assert admin.post(f"{HOME}/experiment/variants", said).location == f"{HOME}#experiment"
    assert "nobody gets a variant yet" in admin.get(HOME).text
    assert admin.post(f"{HOME}/experiment/start").location == f"{HOME}#experiment"
    page = admin.get(HOME).text
    assert "Too early to say" in page
    assert "Roll back" not in page
    figures(control=(1000, 120), b=(1000, 150))
    page = admin.get(HOME).text
    assert "that b is better" in page
    assert "15.0 %" in page
    assert page.count('class="interval"') == 2
    assert "do not say" not in admin.get(f"{HOME}/experiment/keep/b").text
    assert "The figures do not say that it is better" in admin.get(f"{HOME}/experiment/keep/control").text
    assert admin.get(f"{HOME}/experiment/keep/c").status_code == 404
    assert admin.post(f"{HOME}/experiment/keep/b").location == f"{HOME}#experiment"
    assert state() == ("stopped", "b")
    assert "b was kept" in admin.get(HOME).text
    # Somebody else was faster
    admin.post(f"{HOME}/experiment/keep/control")
    assert "has been stopped already" in admin.get(HOME).text
    assert state() == ("stopped", "b")


def test_what_somebody_else_has_changed_meanwhile_is_looked_at_first(admin: Visitor) -> None:
    def seen(path: str) -> dict[str, str]:
        return {"seen": seen_in(admin.get(path).text)}

    experiments.add(KEY, Proposal("b", 30, {("*", "en"): BOLD}))
    before = seen(HOME)
    experiments.add(KEY, Proposal("c", 30, {("*", "en"): BOLD}))
    admin.post(f"{HOME}/experiment/start", before)
    assert "is another one than you looked at; look again" in admin.get(HOME).text
    assert state() == ("draft", None)
    admin.post(f"{HOME}/experiment/start", seen(HOME))
    before = seen(f"{HOME}/experiment/keep/b")
    experiments.stop(KEY, "control")
    begin()
    admin.post(f"{HOME}/experiment/keep/b", before)
    assert state() == ("running", None)
    admin.post(f"{HOME}/experiment/keep/b", seen(f"{HOME}/experiment/keep/b"))
    assert state() == ("stopped", "b")


def test_viewers_see_the_figures_and_nothing_to_press(signed_in: Callable[..., Visitor]) -> None:
    begin()
    figures(control=(1000, 120), b=(1000, 150))
    viewer = signed_in("viewer")
    page = viewer.get(HOME).text
    assert "that b is better" in page
    assert "Keep b" not in page
    assert viewer.get(f"{HOME}/experiment/keep/b").status_code == 403


def test_a_broadcast_shows_its_funnel_by_variant(admin: Visitor, caller: Caller) -> None:
    begin()
    broadcast_hours.count()  # from here on
    people = dealt("control", "b", wanted=2)
    with transaction():
        profiles.upsert([InlineRecipient(user_id, {"email": f"{user_id}@x.test"}) for user_id in people])
    said = Submission("like", (), {"actor": "Bo"}, channels=("email", "inapp"), template=KEY, dedupe=False)
    key = broadcasts.create(caller, Draft("News", said, {"users": people})).broadcast_id
    expand.expand(key)
    deliver([row.id for row in deliveries(status="queued")])
    db.session.close()
    while broadcast_hours.count():
        pass
    happened = {"sent": 2, "delivered": 2, **dict.fromkeys(("opened", "clicked", "failed", "bounced", "complained"), 0)}
    assert one(key, Sight())["variants"] == [
        {"name": name, "weight": 50, "channels": {"email": happened, "inapp": happened}} for name in ("control", "b")
    ]
    page = admin.get(f"/admin/broadcasts/brd_{key.hex}").text
    assert page.count('id="variant-') == 4
