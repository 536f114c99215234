"""SMS by Vonage, whose answers are 200 whatever happens; its own library judges the signatures of receipts."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from vonage_http_client import Auth

from notifier.channels.adapters.sms_vonage import Vonage
from notifier.channels.receipts import Event, HookRefused, HookRequest, Misdirected, Unreadable
from notifier.channels.wire.http import Http
from notifier.core.errors import DeliveryError, InvalidRecipient, Misconfigured, Permanent, RateLimited, Retryable
from notifier.core.message import Content, Receipt, Recipient

TO = Recipient("+4915112345678")
HOOK = "https://notify.test/hooks/vonage"
DELIVERY = "dlv_01930000000070008000000000000001"
KEY, SECRET, SIGNING = "abcd1234", "c5f1b7d94a2e8630", "xU4nB8mQ2sR6vT0yW3zA7cE1gH5jK9lP"
AT = datetime(2026, 12, 1, 9, 0, tzinfo=UTC)
ANSWER = json.loads((Path(__file__).parents[1] / "answers" / "vonage.json").read_text())
SEGMENT = ANSWER["body"]["messages"][0]
SETTINGS = {
    "VONAGE_API_KEY": KEY,
    "VONAGE_API_SECRET": SECRET,
    "VONAGE_FROM": "Shop",
    "VONAGE_SIGNATURE_SECRET": SIGNING,
}


@pytest.fixture
def make(http: Http, sink: Any) -> Any:
    sink.answers(ANSWER["status"], ANSWER["headers"], json.dumps(ANSWER["body"]).encode())

    def make(**changes: str) -> Vonage:
        adapter = Vonage({**SETTINGS, "VONAGE_URL": f"http://127.0.0.1:{sink.port}", **changes}, http)
        adapter.hook_url = HOOK
        return adapter

    return make


def fields(request: Any) -> dict[str, str]:
    return dict(parse_qsl(request.body.decode(), keep_blank_values=True, strict_parsing=True))


def answer(*statuses: str) -> bytes:
    segments = [{**SEGMENT, "status": status, "error-text": SECRET} for status in statuses]
    return json.dumps({"message-count": str(len(statuses)), "messages": segments}).encode()


def test_a_message_is_one_request(make: Any, sink: Any, make_message: Any) -> None:
    receipt = make(VONAGE_FROM="+447700900000").send(make_message(), TO)
    [request] = sink.requests
    assert receipt == Receipt("sent", provider_message_id="0A0000000123ABCD1")
    assert (request.method, request.path, fields(request)) == (
        "POST",
        "/sms/json",
        {
            "api_key": KEY,
            "api_secret": SECRET,
            "from": "447700900000",
            "to": "4915112345678",
            "text": "Your order A123 is on its way.",
            "type": "text",
            "client-ref": DELIVERY,
            "callback": HOOK,
        },
    )
    assert len(DELIVERY) <= 40, "what client-ref takes"


def test_text_beyond_gsm_is_unicode(make: Any, sink: Any, make_message: Any) -> None:
    """As `text`, Vonage would send question marks."""
    for body in ("Größe 5 €", "Łódź 😀"):
        make().send(make_message(content=Content("t", body)), TO)
    assert [(fields(r)["type"], fields(r)["text"]) for r in sink.requests] == [
        ("text", "Größe 5 €"),
        ("unicode", "Łódź 😀"),
    ]


@pytest.mark.parametrize(
    ("seconds", "ttl"), [(300, "300000"), (5, "20000"), (-60, "20000"), (30 * 86_400, "604800000"), (None, None)]
)
def test_vonage_tries_until_the_message_expires(
    seconds: float | None, ttl: str | None, make: Any, sink: Any, make_message: Any, time_machine: Any
) -> None:
    time_machine.move_to(AT, tick=False)
    expires_at = AT + timedelta(seconds=seconds) if seconds is not None else None
    make().send(make_message(expires_at=expires_at), TO)
    assert fields(sink.requests[0]).get("ttl") == ttl


def test_no_receipts_are_asked_for_that_nobody_could_verify(make: Any, sink: Any, make_message: Any) -> None:
    make(VONAGE_SIGNATURE_SECRET="").send(make_message(), TO)
    assert "callback" not in fields(sink.requests[0])


# Status of every segment → family, after the codes of Vonage's specification.
CODES: list[tuple[str, type[DeliveryError]]] = [
    *((code, RateLimited) for code in ("1", "10")),
    *((code, Permanent) for code in ("2", "3", "6", "12", "22")),
    *((code, Misconfigured) for code in ("4", "8", "9", "11", "14", "15", "23", "29", "32")),
    *((code, InvalidRecipient) for code in ("7", "33")),
    ("5", Retryable),
    ("99", Retryable),
]


@pytest.mark.parametrize(("status", "family"), CODES)
def test_each_status_means_one_thing(
    status: str, family: type[DeliveryError], make: Any, sink: Any, make_message: Any
) -> None:
    sink.answers(200, {}, answer(status, status))
    with pytest.raises(DeliveryError) as caught:
        make().send(make_message(), TO)
    assert (type(caught.value), caught.value.code) == (family, status)
    assert getattr(caught.value, "ambiguous", True)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("statuses", [("0", "1"), ("7", "0"), ("0", "0", "5")])
def test_a_message_of_which_a_part_went_out_is_neither_sent_nor_sent_again(
    statuses: tuple[str, ...], make: Any, sink: Any, make_message: Any
) -> None:
    sink.answers(200, {}, answer(*statuses))
    with pytest.raises(Retryable) as caught:
        make().send(make_message(), TO)
    assert caught.value.ambiguous


def test_all_segments_taken_is_sent(make: Any, sink: Any, make_message: Any) -> None:
    sink.answers(200, {}, answer("0", "0"))
    assert make().send(make_message(), TO).provider_message_id == SEGMENT["message-id"]


@pytest.mark.parametrize(
    ("status", "headers", "family", "ambiguous"),
    [
        (401, {}, Misconfigured, None),
        (404, {}, Misconfigured, None),
        (429, {"Retry-After": "2"}, RateLimited, None),
        (420, {}, Permanent, None),
        (500, {}, Retryable, True),
        (502, {}, Retryable, True),
        (503, {}, Retryable, False),
    ],
)
def test_what_is_not_200_comes_from_before_the_api(
    status: int, headers: Any, family: Any, ambiguous: bool | None, make: Any, sink: Any, make_message: Any
) -> None:
    sink.answers(status, headers, b"<html>")
    with pytest.raises(DeliveryError) as caught:
        make().send(make_message(), TO)
    assert (type(caught.value), getattr(caught.value, "ambiguous", None)) == (family, ambiguous)


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{}", b'{"messages":[]}', b'{"messages":["x"]}', b'{"messages":[{"status":"0"}]}']
)
def test_a_success_that_is_not_understood_may_have_been_sent(
    body: bytes, make: Any, sink: Any, make_message: Any
) -> None:
    sink.answers(200, {}, body)
    with pytest.raises(Retryable) as caught:
        make().send(make_message(), TO)
    assert (caught.value.code, caught.value.ambiguous) == ("not_understood", True)


def test_silence_after_the_body_was_read_is_ambiguous(make: Any, sink: Any, make_message: Any) -> None:
    sink.hangs_up()
    with pytest.raises(Retryable) as caught:
        make().send(make_message(), TO)
    assert (caught.value.ambiguous, len(sink.requests)) == (True, 1)


def test_a_sender_that_cannot_be_right_is_refused(http: Http) -> None:
    for sender in ("a name that is too long", "Grüße", "+44x"):
        with pytest.raises(ValueError, match=r"^VONAGE_FROM: "):
            Vonage({**SETTINGS, "VONAGE_FROM": sender}, http)


# The delivery receipt of Vonage's specification, with a reference, signed webhooks switched on.
RECEIPT = {
    "msisdn": "4915112345678",
    "to": "Shop",
    "network-code": "26201",
    "messageId": "0A0000001234567B",
    "price": "0.03330000",
    "status": "delivered",
    "scts": "2612010859",
    "err-code": "0",
    "api-key": KEY,
    "client-ref": DELIVERY,
    "message-timestamp": "2026-12-01 09:00:00",
    "timestamp": str(int(AT.timestamp())),
    "nonce": "ec11dd3e-1e7f-4db5-9467-82b02cd223b9",
}


def signature(told: Mapping[str, str], method: Any, secret: str = SIGNING) -> str:
    auth = Auth(api_key=KEY, signature_secret=secret, signature_method=method)
    return str(auth.sign_params(dict(told)))


def called(told: Mapping[str, Any], *, sig: str | None = None, as_json: bool = False) -> HookRequest:
    signed = {**told, "sig": signature(told, "sha256").upper() if sig is None else sig}
    content_type, body = (
        ("application/json", json.dumps(signed))
        if as_json
        else ("application/x-www-form-urlencoded", urlencode(signed))
    )
    return HookRequest("POST", HOOK, {"content-type": content_type}, body.encode(), AT)


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        ("accepted", "0", "sent"),
        ("delivered", "0", "delivered"),
        ("expired", "2", "failed"),
        ("failed", "6", "failed"),
        ("failed", "3", "bounced"),
        ("rejected", "9", "bounced"),
        ("rejected", "99", "failed"),
    ],
)
def test_a_receipt_is_one_event(status: str, error: str, kind: Any, as_json: bool, make: Any) -> None:
    told = {**RECEIPT, "status": status, "err-code": error}
    assert make().read_receipts(called(told, as_json=as_json)) == [
        Event(
            f"0A0000001234567B:{status}",
            kind,
            AT,
            provider_message_id="0A0000001234567B",
            delivery_id=DELIVERY,
            address="+4915112345678",
            code="" if error == "0" else error,
        )
    ]


@pytest.mark.parametrize("status", ["buffered", "unknown", "wandering", ""])
def test_a_status_that_says_nothing_yet_is_left_out(status: str, make: Any) -> None:
    assert make().read_receipts(called({**RECEIPT, "status": status})) == []


@pytest.mark.parametrize("method", ["md5", "sha1", "sha256", "sha512"])
def test_every_method_of_signing_is_verified(method: str, make: Any) -> None:
    told = {**RECEIPT, "to": "Shop & Co = grüßt"}
    assert make().read_receipts(called(told, sig=signature(told, method)))
    with pytest.raises(HookRefused):
        make().read_receipts(called(told, sig=signature(told, method, "another")))
    with pytest.raises(HookRefused):
        make().read_receipts(called({**told, "status": "failed"}, sig=signature(told, method)))


def test_the_plain_hash_of_accounts_where_nobody_chose_is_verified(make: Any) -> None:
    """MD5 of the fields and the secret: the documented default."""
    signed = "".join(f"&{name}={RECEIPT[name]}" for name in sorted(RECEIPT))
    right = hashlib.md5((signed + SIGNING).encode()).hexdigest()
    assert make().read_receipts(called(RECEIPT, sig=right))
    for wrong in (hashlib.md5(signed.encode()).hexdigest(), hashlib.md5((SIGNING + signed).encode()).hexdigest()):
        with pytest.raises(HookRefused):
            make().read_receipts(called(RECEIPT, sig=wrong))


@pytest.mark.parametrize("sig", ["", "abc", "ä" * 32, "0" * 64])
def test_without_its_signature_no_receipt_is_believed(sig: str, make: Any) -> None:
    with pytest.raises(HookRefused) as caught:
        make().read_receipts(called(RECEIPT, sig=sig))
    assert type(caught.value) is HookRefused


def test_without_the_secret_no_receipt_is_believed(make: Any) -> None:
    with pytest.raises(HookRefused, match="VONAGE_SIGNATURE_SECRET"):
        make(VONAGE_SIGNATURE_SECRET="").read_receipts(called(RECEIPT, sig=signature(RECEIPT, "sha256")))


@pytest.mark.parametrize("seconds", [-301, 301])
def test_a_receipt_that_was_signed_long_ago_is_played_again(seconds: int, make: Any) -> None:
    told = {**RECEIPT, "timestamp": str(int(AT.timestamp()) + seconds)}
    with pytest.raises(HookRefused):
        make().read_receipts(called(told))
    with pytest.raises(HookRefused):
        make().read_receipts(called({**told, "timestamp": "long ago"}))


@pytest.mark.parametrize(
    ("changes", "family"),
    [({"api-key": "another1"}, Misdirected), ({"text": "STOP"}, Misdirected), ({"messageId": ""}, Unreadable)],
)
def test_a_hook_at_the_wrong_place_is_named(changes: dict[str, str], family: type[HookRefused], make: Any) -> None:
    with pytest.raises(HookRefused) as caught:
        make().read_receipts(called({**RECEIPT, **changes}))
    assert type(caught.value) is family


@pytest.mark.parametrize("body", [b"[]", b"x", b'"x"'])
def test_json_that_is_no_receipt_is_unreadable(body: bytes, make: Any) -> None:
    with pytest.raises(Unreadable):
        make().read_receipts(HookRequest("POST", HOOK, {"content-type": "application/json"}, body, AT))
