"""Queues, workers and breakers: seen by viewers, moved by operators."""

from collections.abc import Callable
from datetime import timedelta

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import redis_store
from notifier.models import Delivery
from notifier.providers import accounts as providers
from notifier.providers import health, pausing
from notifier.providers.health import Tally
from notifier.queries import waiting
from notifier.web.presentation import scope_words
from tests.web.conftest import Visitor


@pytest.fixture
def operator(signed_in: Callable[..., Visitor]) -> Visitor:
    return signed_in("operator")


@pytest.fixture
def smtp(app: APIFlask) -> str:
    providers.add("spare", "smtp", {"SMTP_URL": "smtp://127.0.0.1:1"})
    providers.refresh_now()
    return "spare"


def test_it_says_what_waits_and_that_nobody_works(operator: Visitor) -> None:
    redis_store.client.rpush("rq:queue:sms.low", "one", "two")
    page = operator.get("/admin/queues").text
    assert '<td class="nowrap"> sms.low </td> <td class="number">2</td>' in page
    assert "No worker runs" in page
    assert "No scheduler runs" in page


def test_a_worker_is_shown_with_its_lanes_and_a_silent_one_as_such(operator: Visitor) -> None:
    client = redis_store.client
    for name, beat in (("alive", "2099-01-01T00:00:00.000000Z"), ("dead", "2020-01-01T00:00:00.000000Z")):
        client.sadd("rq:workers", f"rq:worker:{name}")
        values = {
            "last_heartbeat": beat,
            "hostname": f"host-{name}",
            "queues": "sms.low",
            "lanes": "400",
            "lanes_in_use": "17",
        }
        client.hset(f"rq:worker:{name}", mapping=values)
    page = operator.get("/admin/queues").text
    assert "17 of 400" in page
    assert page.index("host-alive") < page.index("alive</span>") < page.index("host-dead") < page.index("silent</span>")


def test_a_scheduler_that_died_without_a_word_is_not_shown_as_running(operator: Visitor) -> None:
    redis_store.client.zadd("notifier:schedulers", {"host-dead:1": redis_store.client.time()[0] - 60})
    assert "No scheduler runs" in operator.get("/admin/queues").text


def test_a_channel_is_paused_after_asking_and_resumed(operator: Visitor) -> None:
    assert "Pause SMS?" in operator.get("/admin/queues/sms/pause").text
    assert pausing.paused() == set()
    operator.post("/admin/queues/sms/pause")
    page = operator.get("/admin/queues").text
    assert "SMS has been paused</strong> since" in page
    assert "operator@example.test" in page
    operator.post("/admin/queues/sms/resume")
    assert "SMS is paused</strong>" not in operator.get("/admin/queues").text


@pytest.mark.parametrize("channel", ["inapp", "pigeon"])
def test_what_cannot_be_paused_is_told(operator: Visitor, channel: str) -> None:
    assert operator.get(f"/admin/queues/{channel}/pause").status_code == 404
    operator.post(f"/admin/queues/{channel}/pause")
    assert "Nothing was paused" in operator.get("/admin/queues").text


@pytest.mark.parametrize(
    ("state", "question", "shown"),
    [
        ("open", "Stop sending through spare?", "stopped by hand"),
        ("closed", "Send again through spare?", "kept sending by hand"),
    ],
)
def test_who_may_send_is_set_by_hand_after_asking_and_left_to_itself(
    operator: Visitor, smtp: str, state: str, question: str, shown: str
) -> None:
    assert question in operator.get(f"/admin/queues/breaker?scope={smtp}&state={state}").text
    assert health.states().get(smtp, "closed") == "closed"
    operator.post("/admin/queues/breaker", {"scope": smtp, "state": state})
    page = operator.get("/admin/queues").text
    assert shown in page
    assert ", by operator@example.test" in page
    operator.post("/admin/queues/breaker", {"scope": smtp, "state": "auto"})
    assert health.states().get(smtp, "closed") == "closed"


@pytest.mark.parametrize(
    ("tally", "why"),
    [
        (Tally(bad=10), "half of its calls failed, or more"),
        (Tally(is_misconfigured=True), "it refused our settings or credentials"),
        (Tally(invalid=20), "too many of its addresses do not work"),
    ],
)
def test_a_stopped_provider_says_since_when_why_and_when_it_is_tried_again(
    operator: Visitor, smtp: str, tally: Tally, why: str
) -> None:
    began = now().replace(microsecond=0)
    health.report({smtp: tally})
    breaker = health.breakers()[smtp]
    assert breaker.since is not None
    assert breaker.next_at is not None
    assert began - timedelta(seconds=1) <= breaker.since < breaker.next_at
    row = operator.get("/admin/queues").text.partition(f'id="breaker-{smtp}"')[2].partition("</tr>")[0]
    assert "stopped</span>" in row
    assert why in row
    assert row.count("<time ") == 2


def test_what_waits_is_told_by_its_reason_and_each_leads_to_the_messages(
    operator: Visitor, send: Callable[..., list[Delivery]]
) -> None:
    for reason in (*(reason for reasons in waiting.WHY.values() for reason in reasons), None):
        [delivery] = [row for row in send("zoe", email="zoe@x.test", channels=("email",)) if row.status != "waiting"]
        with transaction() as session:
            changed = {"status": "waiting", "reason": reason, "wake_at": now() + timedelta(hours=1)}
            held = {"held_for": "spare"} if reason == "provider_down" else {}
            session.execute(sa.update(Delivery).where(Delivery.id == delivery.id).values(**changed, **held))
    assert {line.why: line.count for line in waiting.by_reason()} == {
        why: len(reasons) for why, reasons in waiting.WHY.items()
    }
    assert waiting.held_by_scope() == {"spare": 1}
    page = operator.get("/admin/queues").text
    for why, reasons in waiting.WHY.items():
        assert f'href="/admin/queues/waiting/{why}"' in page
        assert operator.get(f"/admin/queues/waiting/{why}").text.count("Order shipped</a>") == len(reasons)
    assert operator.get("/admin/queues/waiting/nonsense").status_code == 404


def test_nothing_that_waits_is_told_as_such(operator: Visitor) -> None:
    assert "Nothing waits." in operator.get("/admin/queues").text


def test_a_question_about_no_breaker_is_not_asked(operator: Visitor, smtp: str) -> None:
    for query in ("scope=nobody&state=open", f"scope={smtp}&state=ajar", ""):
        assert operator.get(f"/admin/queues/breaker?{query}").status_code == 404


@pytest.mark.parametrize(
    "form",
    [{"scope": "nobody", "state": "open"}, {"scope": "spare", "state": "ajar"}, {}],
    ids=["scope", "state", "nothing"],
)
def test_what_makes_no_sense_changes_nothing(operator: Visitor, smtp: str, form: dict[str, str]) -> None:
    operator.post("/admin/queues/breaker", form)
    assert "Nothing was changed" in operator.get("/admin/queues").text
    assert set(health.states().values()) <= {"closed"}


def test_viewers_look_and_their_buttons_are_off(signed_in: Callable[..., Visitor], smtp: str) -> None:
    viewer = signed_in("viewer")
    page = viewer.get("/admin/queues").text
    assert "Your role is viewer; this needs operator or admin." in page
    assert [
        viewer.post(path).status_code
        for path in ("/admin/queues/sms/pause", "/admin/queues/sms/resume", "/admin/queues/breaker")
    ] == [403] * 3


def test_the_breaker_of_an_account_that_is_removed_goes_with_it(operator: Visitor, smtp: str) -> None:
    health.force(smtp, "open")
    providers.remove(smtp)
    assert smtp not in health.states()
    assert smtp not in operator.get("/admin/queues").text


def test_an_account_is_removed_without_redis_too(smtp: str, redis_away: None) -> None:
    assert providers.remove(smtp)


def test_without_redis_it_says_so_and_channels_can_still_be_paused(operator: Visitor, redis_away: None) -> None:
    operator.post("/admin/queues/sms/pause")
    page = operator.get("/admin/queues").text
    assert "Redis cannot be reached" in page
    assert "SMS has been paused</strong> since" in page
    assert "Resume SMS</button>" in page
    assert operator.post("/admin/queues/breaker", {"scope": "x", "state": "open"}).status_code == 303
    operator.post("/admin/queues/sms/resume")
    assert "SMS has been paused" not in operator.get("/admin/queues").text


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        ("smtp", "smtp"),
        ("webhook:example.com:443", "example.com:443 (webhook)"),
        ("subscription:[2001:db8::1]:8443", "[2001:db8::1]:8443 (status webhooks)"),
    ],
)
def test_what_a_breaker_is_for_is_said_in_words(scope: str, words: str) -> None:
    assert scope_words(scope) == words
