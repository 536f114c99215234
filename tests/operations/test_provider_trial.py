"""A test goes through the very account that is tested, by the normal road, to where an admin wants it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.core.errors import Rejected
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.ids import parse
from notifier.models import Address, Attempt, AuditEntry, Notification, Provider
from notifier.operations import provider_trial
from notifier.operations.retry_dead import retry
from notifier.pipeline.delivery.deliver import deliver
from notifier.providers import accounts as providers
from notifier.providers import flags, pausing
from tests.stored import deliveries, rows
from tests.submitting import Mailbox

ELSEWHERE = "ops@shop.example"
Configure = Callable[..., None]

pytestmark = pytest.mark.usefixtures("cast")


def settle() -> None:
    """What was configured is known to every process."""
    with transaction() as session:
        session.execute(sa.update(Provider).values(changed_at=now() - timedelta(minutes=1)))


@pytest.fixture
def accounts_of(configure: Configure) -> Configure:
    """`accounts_of(main=url, spare=url)`: SMTP accounts, configured a while ago."""

    def _accounts_of(**urls: str) -> None:
        configure(**urls)
        settle()

    return _accounts_of


def own_address(user_id: str = "alice", channel: str = "email") -> UUID:
    [address] = [row for row in rows(Address, user_id=user_id, channel=channel) if row.is_primary]
    key: UUID = address.id
    return key


def work() -> None:
    deliver([delivery.id for delivery in deliveries()])


def refusal(account: str, to: UUID | str, user_id: str = "alice") -> tuple[str, str]:
    with pytest.raises(Rejected) as refused:
        provider_trial.send(account, user_id, to)
    error = refused.value
    return error.code, error.faults[0].message if error.faults else error.detail


def test_it_goes_through_the_account_that_is_tested_and_no_other(
    accounts_of: Configure, mailbox: Mailbox, nobody: str
) -> None:
    accounts_of(main=nobody, spare=mailbox.url)
    shown = provider_trial.send("spare", "alice", own_address())
    work()
    [delivery] = deliveries()
    assert (delivery.status, delivery.provider, mailbox.received) == ("sent", "spare", ["alice@example.test"])
    assert rows(Notification)[0].id == parse("ntf", shown)


def test_one_that_fails_is_no_business_of_the_others_and_is_tried_again_by_itself(
    accounts_of: Configure, mailbox: Mailbox, nobody: str
) -> None:
    accounts_of(main=nobody, spare=mailbox.url)
    provider_trial.send("main", "alice", own_address())
    work()
    [delivery] = deliveries()
    assert (delivery.status, delivery.reason, mailbox.received) == ("waiting", "retry", [])
    with transaction() as session:
        session.execute(sa.text("UPDATE delivery SET status = 'failed', reason = NULL"))
    retry([delivery.id])
    work()
    assert {attempt.provider for attempt in rows(Attempt)} == {"main"}


def test_the_share_of_an_account_is_no_matter(accounts_of: Configure, mailbox: Mailbox) -> None:
    accounts_of(main=mailbox.url)
    flags.put("email:main", 0)
    provider_trial.send("main", "alice", own_address())
    work()
    assert mailbox.received == ["alice@example.test"]


def test_another_destination_is_kept_unconfirmed_and_gets_the_test_alone(
    accounts_of: Configure, mailbox: Mailbox, submit: Callable[..., Any]
) -> None:
    accounts_of(main=mailbox.url)
    provider_trial.send("main", "dave", ELSEWHERE)
    provider_trial.send("main", "dave", ELSEWHERE.upper().replace("OPS", "ops"))
    submit("dave", channels=("email",))
    work()
    assert mailbox.received == [ELSEWHERE, ELSEWHERE]
    [address] = rows(Address, user_id="dave")
    assert (address.verified_at, address.is_primary) == (None, False)


def test_quiet_hours_and_opt_outs_do_not_hold_it(accounts_of: Configure, mailbox: Mailbox) -> None:
    accounts_of(main=mailbox.url)
    provider_trial.send("main", "carol", own_address("carol"))
    work()
    assert mailbox.received == ["carol@example.test"]


def test_what_was_changed_a_moment_ago_is_tested_when_all_processes_know_it(
    configure: Configure, mailbox: Mailbox
) -> None:
    configure(main=mailbox.url)
    provider_trial.send("main", "alice", own_address())
    [delivery] = deliveries()
    assert (delivery.status, delivery.reason) == ("waiting", "scheduled")
    assert timedelta(0) < delivery.due_at - delivery.created_at <= timedelta(seconds=providers.REFRESH_S + 1)


def test_it_is_written_down_without_the_address(accounts_of: Configure, mailbox: Mailbox) -> None:
    accounts_of(main=mailbox.url)
    provider_trial.send("main", "alice", ELSEWHERE)
    [entry] = rows(AuditEntry, action="provider.tested")
    assert (entry.subject, entry.after["channel"], ELSEWHERE in str(entry.after)) == ("main", "email", False)


def test_a_paused_channel_holds_it_too(accounts_of: Configure, mailbox: Mailbox) -> None:
    accounts_of(main=mailbox.url)
    pausing.pause("email")
    provider_trial.send("main", "alice", own_address())
    work()
    assert [(delivery.status, delivery.reason) for delivery in deliveries()] == [("waiting", "paused")]


def test_what_is_removed_meanwhile_is_not_made_up_for_by_another(
    accounts_of: Configure, mailbox: Mailbox, nobody: str
) -> None:
    accounts_of(main=mailbox.url, spare=nobody)
    provider_trial.send("spare", "alice", own_address())
    providers.remove("spare")
    providers.refresh_now()
    work()
    assert ([delivery.status for delivery in deliveries()], mailbox.received) == (["skipped"], [])


@pytest.mark.parametrize(
    "to",
    ["ops", "rejected@sandbox.test", "", "a\0@x.test", UUID(int=1)],
    ids=["none", "sandbox", "empty", "nul", "not-theirs"],
)
def test_what_is_no_destination_is_refused_at_its_field(
    accounts_of: Configure, mailbox: Mailbox, to: UUID | str
) -> None:
    accounts_of(main=mailbox.url)
    code, _ = refusal("main", to)
    assert (code, deliveries(), rows(AuditEntry, action="provider.tested")) == ("validation_failed", [], [])
    assert len(rows(Address, user_id="alice", channel="email")) == 1


def test_somebody_elses_address_is_not_to_be_chosen_by_its_id(accounts_of: Configure, mailbox: Mailbox) -> None:
    accounts_of(main=mailbox.url)
    assert refusal("main", own_address("bob"))[0] == "validation_failed"


@pytest.mark.parametrize(
    "url", ["https://10.0.0.1/hook", "https://169.254.169.254/latest", "https://[::ffff:10.0.0.1]/"]
)
def test_a_webhook_into_a_private_network_is_refused(app: APIFlask, url: str) -> None:
    code, sentence = refusal("webhook", url)
    assert (code, "private network" in sentence, deliveries()) == ("validation_failed", True, [])


@pytest.mark.parametrize("account", ["nobody", "", "sandbox"])
def test_what_is_no_account_is_not_found(app: APIFlask, account: str) -> None:
    assert refusal(account, own_address())[0] == "not_found"


def test_one_that_is_not_in_use_and_a_channel_that_is_off_say_so(accounts_of: Configure, mailbox: Mailbox) -> None:
    accounts_of(main=mailbox.url)
    flags.put("email", 0)
    assert "switched off for you" in refusal("main", own_address())[1]
    flags.clear("email")
    providers.change("main", {"SMTP_URL": mailbox.url}, keeping=(), position=0, weight=1, is_on=False)
    assert "not in use" in refusal("main", own_address())[1]
    assert deliveries() == []


def test_many_in_a_short_time_are_refused(accounts_of: Configure, mailbox: Mailbox) -> None:
    accounts_of(main=mailbox.url)
    for _ in range(20):
        provider_trial.send("main", "alice", own_address())
    assert refusal("main", own_address())[0] == "rate_limited"


def test_without_redis_nothing_is_taken(
    accounts_of: Configure, mailbox: Mailbox, request: pytest.FixtureRequest
) -> None:
    accounts_of(main=mailbox.url)
    request.getfixturevalue("redis_away")
    assert refusal("main", own_address())[0] == "unavailable"
    assert deliveries() == []
