"""`/hooks/{account}`: who is heard, and how each call is answered."""

import io
import logging
from typing import Any

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from sqlalchemy.exc import OperationalError

from notifier.channels import serving
from notifier.channels.receipts import KINDS, HookRequest
from notifier.channels.serving import Account
from notifier.ground.database import transaction
from notifier.models import Provider, Receipt
from notifier.pipeline.delivery import receipts
from notifier.pipeline.delivery.receipts import MOST_AT_ONCE
from notifier.providers import accounts
from notifier.signals import hook_health
from tests.acme import SECRET, Acme, Server, event, signature, tell
from tests.metered import growth
from tests.stored import row_counts, rows

TOLD = event("opened", "e1", provider_message_id="m1")


def code_of(response: Any) -> tuple[int, str]:
    assert response.content_type == "application/problem+json"
    return response.status_code, response.json["code"]


def test_a_call_of_the_providers_is_stored_and_answered_with_200(acme: Server, client: FlaskClient) -> None:
    response = tell(client, TOLD)
    assert (response.status_code, response.data) == (200, b"")
    assert [(r.provider, r.event_id, r.status) for r in rows(Receipt)] == [("acme", "e1", "opened")]
    assert hook_health.read(["acme"])["acme"].kinds == ("opened",)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"Acme-Signature": ""}, None),
        ({"Acme-Signature": "00"}, None),
        ({"Acme-Signature": signature("http://localhost/hooks/acme", b"[]")}, b"[{}]"),  # tampered with
        ({"Acme-Signature": signature("http://evil.test/hooks/acme", b"[]"), "Host": "evil.test"}, b"[]"),
        ({"Acme-Signature": signature("http://localhost/hooks/acme2", b"[]")}, b"[]"),  # for another account
        ({"Acme-Signature": signature("http://localhost/hooks/acme", b"[]", "another")}, b"[]"),
    ],
)
def test_what_cannot_be_shown_to_be_the_providers_is_401_and_leaves_no_trace_but_a_count(
    acme: Server, client: FlaskClient, headers: dict[str, str], body: bytes | None
) -> None:
    before = row_counts()
    options = {"body": body} if body is not None else {}
    assert code_of(tell(client, TOLD, headers=headers, **options)) == (401, "unverified")
    assert row_counts() == before
    [health] = hook_health.read(["acme"]).values()
    assert (health.refused.count, health.refused.why, health.not_taken) == (1, "the signature is wrong", 1)


def test_the_url_that_is_verified_is_the_one_that_the_provider_was_given(acme: Server, client: FlaskClient) -> None:
    """With the query as it came, whatever host it was sent to and however the query is written."""
    query = "?b=%7e1&a=x%20y&a=+&c"
    assert tell(client, TOLD, query=query, headers={"Host": "inner:8080"}).status_code == 200


def test_an_account_that_there_is_not_is_404(acme: Server, client: FlaskClient) -> None:
    for account in ("nobody", "sandbox", "inapp", "x" * 300, "%00"):
        assert code_of(client.post(f"/hooks/{account}", data=b"[]")) == (404, "not_found")


def test_an_account_without_a_secret_hears_nobody(acme: Server, client: FlaskClient, app: APIFlask) -> None:
    serving.registry().configure([Account("acme", "acme", {"ACME_URL": acme.url})])
    assert code_of(tell(client, TOLD)) == (401, "unverified")
    assert rows(Receipt) == []


@pytest.mark.parametrize("body", [b"", b"nonsense", b"[1", b"\xff", b"[" * 100_000])
def test_a_body_that_is_not_what_the_documents_say_is_400(acme: Server, client: FlaskClient, body: bytes) -> None:
    assert code_of(tell(client, body=body)) == (400, "unreadable_receipt")
    assert hook_health.read(["acme"])["acme"].unreadable.count == 1


def test_a_body_of_ten_megabytes_is_413_with_and_without_its_length(acme: Server, client: FlaskClient) -> None:
    body = b"[" + b" " * 10_000_000 + b"]"
    assert code_of(tell(client, body=body)) == (413, "body_too_large")
    chunked = client.post("/hooks/acme", input_stream=io.BytesIO(body), headers={"Transfer-Encoding": "chunked"})
    assert code_of(chunked) == (413, "body_too_large")


def test_an_account_that_another_process_has_just_added_is_known(client: FlaskClient) -> None:
    accounts.refresh_now()
    settings = {"TWILIO_ACCOUNT_SID": "AC" + "0" * 32, "TWILIO_AUTH_TOKEN": "t" * 32, "TWILIO_FROM": "+15005550006"}
    with transaction() as session:
        session.add(Provider(name="new", adapter="twilio", channel="sms", settings=settings))
    assert client.post("/hooks/new", data={}).status_code == 401
    assert client.post("/hooks/newer", data={}).status_code == 404


def test_a_call_without_an_event_that_is_known_is_answered_with_204(acme: Server, client: FlaskClient) -> None:
    assert tell(client, {**TOLD, "kind": "danced"}).status_code == 204


def test_events_of_another_account_are_answered_with_204_and_told_to_operators(
    acme: Server, client: FlaskClient
) -> None:
    assert tell(client, {**TOLD, "account": "theirs"}).status_code == 204
    assert rows(Receipt) == []
    health = hook_health.read(["acme"])["acme"]
    assert (health.misdirected.count, health.misdirected.why) == (1, "events of another account")
    assert (health.not_taken, health.event_at) == (1, None)


def test_kinds_that_nobody_knows_are_passed_over(acme: Server, client: FlaskClient) -> None:
    assert tell(client, {**TOLD, "kind": "danced"}, {**TOLD, "id": "e2"}).status_code == 200
    assert [r.event_id for r in rows(Receipt)] == ["e2"]


def test_the_same_event_of_two_accounts_is_two(acme: Server, client: FlaskClient) -> None:
    for account in ("acme", "acme2", "acme"):
        assert tell(client, TOLD, account=account).status_code == 200
    assert [r.provider for r in rows(Receipt)] == ["acme", "acme2"]


def test_a_database_that_is_away_is_503_and_the_provider_may_come_again(
    acme: Server, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_calls: Any) -> Any:
        raise OperationalError("INSERT", {}, Exception("gone"))

    monkeypatch.setattr(receipts, "_take", away)
    response = tell(client, TOLD)
    assert code_of(response) == (503, "unavailable")
    assert int(response.headers["Retry-After"]) > 0
    monkeypatch.undo()


def test_a_get_is_answered_as_the_provider_asks_and_to_nobody_else(acme: Server, client: FlaskClient) -> None:
    right = client.get(f"/hooks/acme?token={SECRET}&challenge=1<2")
    assert (right.status_code, right.data, right.content_type) == (200, b"1<2", "text/plain; charset=utf-8")
    assert code_of(client.get("/hooks/acme?token=x&challenge=1")) == (401, "unverified")
    assert code_of(client.get("/hooks/nobody")) == (404, "not_found")


def test_refused_calls_run_into_a_limit_and_true_ones_never(acme: Server, client: FlaskClient) -> None:
    answers = [client.post("/hooks/acme", data=b"[]").status_code for _ in range(61)]
    assert answers == [401] * 60 + [429]
    assert client.post("/hooks/nobody", data=b"[]").status_code == 429
    assert tell(client, TOLD).status_code == 200


def test_a_call_leaves_neither_addresses_nor_secrets_in_the_clear(
    acme: Server, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    detail = {"to": "alice@example.test", "token": "t0ps3cret", "note": "x\0y"}
    with caplog.at_level(logging.DEBUG):
        tell(client, {**TOLD, "kind": "complained", "address": "alice@example.test", "detail": detail})
    [row] = rows(Receipt)
    assert row.detail == {"to": "a•••@example.test", "token": "•••", "note": "xy"}
    assert row.digest is not None
    assert "alice@" not in caplog.text


@pytest.mark.parametrize(
    "odd",
    [
        {"id": "x" * 5_000},
        {"id": "nul\0"},
        {"id": "\ud800"},
        {"code": "c" * 500},
        {"provider_message_id": "m" * 5_000},
        {"provider_message_id": "\0"},
        {"delivery_id": "dlv_zz"},
        {"address": "\0@"},
        {"detail": {"deep": "x" * 5_000}},
        {"detail": {"odd": "\ud800"}},
        {"detail": {"n": float("inf"), "deep": [{"\0": ["\0", None, True, 1.5]}]}},
        {"detail": {"escaped": "\\u0000", "whole": "\U0001f600"}},
        {"at": "2999-01-01T00:00:00+00:00"},
        {"at": "2026-01-01T00:00:00"},
        {"at": "0001-01-01T00:00:00+00:00"},
    ],
)
def test_one_odd_event_never_keeps_its_neighbours_from_being_stored(
    acme: Server, client: FlaskClient, odd: dict[str, Any]
) -> None:
    assert tell(client, {**TOLD, **odd}, event("delivered", "fine")).status_code == 200
    assert {r.event_id for r in rows(Receipt)} >= {"fine"}
    assert len(rows(Receipt)) == 2
    assert all(r.at <= r.received_at for r in rows(Receipt))


def test_a_body_of_a_thousand_events_is_stored_in_parts(acme: Server, client: FlaskClient) -> None:
    count = 1_000
    assert count > 2 * MOST_AT_ONCE
    events = [event(KINDS[n % 4], f"e{n}", provider_message_id=f"m{n}") for n in range(count)]
    assert tell(client, *events).status_code == 200
    assert len(rows(Receipt)) == count


def test_an_adapter_that_breaks_is_a_bug_and_nothing_is_lost(
    acme: Server, client: FlaskClient, app: APIFlask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Acme, request: HookRequest) -> Any:
        raise KeyError("sg_event_id")

    monkeypatch.setattr(Acme, "read_receipts", broken)
    app.testing, app.config["PROPAGATE_EXCEPTIONS"] = False, False
    try:
        assert code_of(tell(client, TOLD)) == (500, "internal_error")
    finally:
        app.testing = True
        app.config.pop("PROPAGATE_EXCEPTIONS")


def test_without_redis_it_takes_them_all_the_same(acme: Server, client: FlaskClient, redis_away: None) -> None:
    assert tell(client, TOLD).status_code == 200
    assert client.post("/hooks/acme", data=b"[]").status_code == 401


def test_metrics_tell_calls_by_what_became_of_them(acme: Server, client: FlaskClient) -> None:
    with growth() as grown:
        tell(client, TOLD)
        tell(client, TOLD, headers={"Acme-Signature": "x"})
    assert grown["notifier_hook_calls_total{outcome=taken,provider=acme}"] == 1
    assert grown["notifier_hook_calls_total{outcome=refused,provider=acme}"] == 1
    assert grown["notifier_receipts_total{kind=opened,provider=acme}"] == 1
    assert grown["notifier_batch_items_count{stage=receipts}"] == 1
