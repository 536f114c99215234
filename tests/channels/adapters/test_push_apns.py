"""APNs over the wire: hypercorn stands in for Apple's server, and PyJWT reads our token as Apple would."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest

from notifier.channels.adapters.push_apns import Apns
from notifier.channels.wire.http import Http
from notifier.core.errors import DeliveryError, InvalidRecipient, Misconfigured, Permanent, RateLimited, Retryable
from notifier.core.message import Push, Receipt, Recipient
from tests.channels.conftest import LOOPBACK
from tests.channels.http2 import Http2Sink
from tests.channels.keys import p256_key
from tests.channels.pushing import IPHONE as DEVICE
from tests.channels.pushing import Apple

AT = datetime(2026, 12, 1, 9, 10, tzinfo=UTC)
FLOORED = datetime(2026, 12, 1, 8, 40, tzinfo=UTC)  # the clock's last full forty minutes, counted from 1970
ALICE = Recipient(DEVICE, platform="ios")
DELIVERY = "01930000-0000-7000-8000-000000000001"
MakeMessage = Callable[..., Any]


@pytest.fixture
def apple(authority: Any) -> Iterator[Apple]:
    sink = Http2Sink(authority)
    yield Apple(sink)
    sink.close()


@pytest.fixture(autouse=True)
def ten_past_nine(apple: Apple, time_machine: Any) -> None:
    time_machine.move_to(AT, tick=False)


@pytest.fixture
def make_adapter(http: Http, apple: Apple) -> Iterator[Callable[..., Apns]]:
    made: list[Apns] = []

    def make(**changes: str) -> Apns:
        made.append(Apns({**apple.account, **changes}, http))
        return made[-1]

    yield make
    for adapter in made:
        adapter.close()


@pytest.fixture
def adapter(make_adapter: Callable[..., Apns]) -> Apns:
    return make_adapter()


def failure(adapter: Apns, message: Any, to: Recipient = ALICE) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        adapter.send(message, to)
    return caught.value


# ---- what is sent ---------------------------------------------------------------------------------------------------


def test_a_message_is_sent_whole(adapter: Apns, apple: Apple, make_message: MakeMessage) -> None:
    content = replace(
        make_message().content, title="Shipped", body="On its way", action_url="https://shop.test/o/1", image=None
    )
    message = make_message(
        content=content, data={"order_id": "A123", "n": 3}, badge=7, expires_at=AT + timedelta(hours=1), priority="high"
    )
    assert adapter.send(message, ALICE) == Receipt("sent", provider_message_id=DELIVERY)
    [request] = apple.sink.requests
    assert (request.method, request.path) == ("POST", f"/3/device/{DEVICE}")
    sent = {name: value for name, value in request.headers.items() if name.startswith("apns-")}
    assert sent == {
        "apns-id": DELIVERY,
        "apns-topic": "com.example.shop",
        "apns-push-type": "alert",
        "apns-priority": "10",
        "apns-expiration": str(int(AT.timestamp()) + 3600),
        "apns-collapse-id": message.delivery_id,
    }
    assert json.loads(request.body) == {
        "aps": {"alert": {"title": "Shipped", "body": "On its way"}, "badge": 7, "sound": "default"},
        "data": {"order_id": "A123", "n": 3},
        "notification": {
            "id": message.notification_id,
            "delivery": message.delivery_id,
            "type": message.type,
            "url": "https://shop.test/o/1",
        },
    }


@pytest.mark.parametrize(
    ("changes", "headers"),
    [
        ({"priority": "medium"}, {"apns-priority": "5"}),
        ({"priority": "low"}, {"apns-priority": "5"}),
        ({"priority": "urgent"}, {"apns-priority": "10"}),
        ({"priority": "urgent", "push": Push(is_silent=True)}, {"apns-priority": "5", "apns-push-type": "background"}),
        ({"collapse_key": "order-A123"}, {"apns-collapse-id": "order-A123"}),
        ({}, {"apns-expiration": str(int(AT.timestamp()) + 28 * 86_400)}),
    ],
)
def test_headers_say_how_it_is_delivered(
    adapter: Apns, apple: Apple, make_message: MakeMessage, changes: dict[str, Any], headers: dict[str, str]
) -> None:
    adapter.send(make_message(**changes), ALICE)
    assert apple.sink.requests[0].headers.items() >= headers.items()


@pytest.mark.parametrize("key", ["k" * 65, "ü" * 40, "a\nb: c"])
def test_a_collapse_id_never_exceeds_what_apple_takes(
    adapter: Apns, apple: Apple, make_message: MakeMessage, key: str
) -> None:
    adapter.send(make_message(collapse_key=key), ALICE)
    assert len(apple.sink.requests[0].headers["apns-collapse-id"].encode()) <= 64


def test_a_silent_push_wakes_the_app_and_shows_nothing(adapter: Apns, apple: Apple, make_message: MakeMessage) -> None:
    adapter.send(make_message(data={"a": 1}, badge=3, push=Push(is_silent=True)), ALICE)
    sent = json.loads(apple.sink.requests[0].body)
    assert (sent["aps"], sent["data"]) == ({"content-available": 1}, {"a": 1})


def test_an_image_is_fetched_by_the_apps_extension(adapter: Apns, apple: Apple, make_message: MakeMessage) -> None:
    content = replace(make_message().content, image="https://shop.test/a.png")
    adapter.send(make_message(content=content), ALICE)
    sent = json.loads(apple.sink.requests[0].body)
    assert (sent["aps"]["mutable-content"], sent["notification"]["image"]) == (1, "https://shop.test/a.png")


def test_a_device_names_its_own_app(adapter: Apns, apple: Apple, make_message: MakeMessage) -> None:
    adapter.send(make_message(), replace(ALICE, app="com.example.other"))
    assert apple.sink.requests[0].headers["apns-topic"] == "com.example.other"


@pytest.mark.parametrize(
    ("to", "code"),
    [
        (replace(ALICE, app="com.example\r\nx: y"), "bad_topic"),
        (replace(ALICE, app="ä"), "bad_topic"),
        (replace(ALICE, address="fGx0m3Rk7dE:APA91bHPRgkF3"), "not_apples_token"),
        (replace(ALICE, address="../../x"), "not_apples_token"),
    ],
)
def test_what_apple_cannot_understand_is_not_sent(
    adapter: Apns, apple: Apple, make_message: MakeMessage, to: Recipient, code: str
) -> None:
    error = failure(adapter, make_message(), to)
    assert (type(error), error.code, apple.sink.requests) == (Permanent, code, [])


def test_what_is_too_long_is_shortened_and_data_that_are_too_long_are_refused(
    adapter: Apns, apple: Apple, make_message: MakeMessage
) -> None:
    content = replace(make_message().content, body="€" * 500, image="https://shop.test/" + "i" * 2000)
    adapter.send(make_message(content=content, data={"d": "d" * 2700}), ALICE)
    [request] = apple.sink.requests
    sent = json.loads(request.body)
    assert len(request.body) <= 4096
    assert (len(sent["aps"]["alert"]["body"]), len(sent["data"]["d"])) == (200, 2700)
    error = failure(adapter, make_message(data={"d": "d" * 4096}))
    assert (type(error), error.code, len(apple.sink.requests)) == (Permanent, "payload_too_large", 1)


def test_it_serves_apples_devices_alone() -> None:
    assert [Apns.serves(platform) for platform in ("ios", "android", None)] == [True, False, False]


# ---- what is answered -----------------------------------------------------------------------------------------------

REASONS = [
    (400, "BadCollapseId", Permanent),
    (400, "BadDeviceToken", InvalidRecipient),
    (400, "BadExpirationDate", Permanent),
    (400, "BadMessageId", Permanent),
    (400, "BadPriority", Permanent),
    (400, "BadTopic", Misconfigured),
    (400, "DeviceTokenNotForTopic", InvalidRecipient),
    (400, "DuplicateHeaders", Permanent),
    (400, "IdleTimeout", Retryable),
    (400, "InvalidPushType", Permanent),
    (400, "MissingDeviceToken", Permanent),
    (400, "MissingTopic", Misconfigured),
    (400, "PayloadEmpty", Permanent),
    (400, "TopicDisallowed", Misconfigured),
    (400, "SomethingNew", Permanent),
    (403, "BadCertificate", Misconfigured),
    (403, "BadCertificateEnvironment", Misconfigured),
    (403, "BadEnvironmentKeyInToken", Misconfigured),
    (403, "ExpiredProviderToken", Misconfigured),
    (403, "Forbidden", Misconfigured),
    (403, "InvalidProviderToken", Misconfigured),
    (403, "MissingProviderToken", Misconfigured),
    (404, "BadPath", Misconfigured),
    (405, "MethodNotAllowed", Misconfigured),
    (410, "ExpiredToken", InvalidRecipient),
    (410, "Unregistered", InvalidRecipient),
    (413, "PayloadTooLarge", Permanent),
    (429, "TooManyProviderTokenUpdates", RateLimited),
    (429, "TooManyRequests", RateLimited),
    (500, "InternalServerError", Retryable),
    (503, "ServiceUnavailable", Retryable),
    (503, "Shutdown", Retryable),
]


def test_every_reason_of_apples_has_its_family(adapter: Apns, apple: Apple, make_message: MakeMessage) -> None:
    found = []
    for status, reason, _ in REASONS:
        apple.refuses(status, reason)
        error = failure(adapter, make_message())
        found.append((status, error.code, type(error)))
        assert not getattr(error, "ambiguous", False)
    assert found == REASONS


@pytest.mark.parametrize(
    ("status", "reason", "is_certain"),
    [
        (400, "BadTopic", False),
        (400, "TopicDisallowed", False),
        (403, "InvalidProviderToken", True),
    ],
)
def test_a_device_that_names_another_app_does_not_pause_the_account_alone(
    adapter: Apns, apple: Apple, make_message: MakeMessage, status: int, reason: str, is_certain: bool
) -> None:
    apple.refuses(status, reason)
    error = failure(adapter, make_message(), replace(ALICE, app="com.example.other"))
    assert isinstance(error, Misconfigured)
    assert error.is_certain == is_certain


@pytest.mark.parametrize(
    ("status", "headers", "body", "family", "code", "is_ambiguous"),
    [
        (400, {}, b"<html>Bad</html>", Permanent, "http_400", False),
        (400, {}, {"reason": ["x"]}, Permanent, "http_400", False),
        (403, {}, b"", Misconfigured, "http_403", False),
        (404, {}, b"", Misconfigured, "http_404", False),
        (410, {}, b"", InvalidRecipient, "http_410", False),
        (429, {"retry-after": "7"}, b"", RateLimited, "http_429", False),
        (500, {}, b"<html>", Retryable, "http_500", False),
        (503, {"retry-after": "7"}, b"<html>", RateLimited, "http_503", False),
        (504, {}, b"", Retryable, "http_504", True),
    ],
)
def test_an_answer_without_a_reason_is_judged_by_its_status(
    adapter: Apns,
    apple: Apple,
    make_message: MakeMessage,
    status: int,
    headers: dict[str, str],
    body: Any,
    family: type[DeliveryError],
    code: str,
    is_ambiguous: bool,
) -> None:
    apple.answers[DEVICE] = status, headers, body
    error = failure(adapter, make_message())
    assert (type(error), error.code, getattr(error, "ambiguous", False)) == (family, code, is_ambiguous)


def test_a_success_that_is_not_apples_is_ambiguous(adapter: Apns, apple: Apple, make_message: MakeMessage) -> None:
    apple.sink.choose = lambda _: apple.sink.answering(200, {}, b"<html>Welcome</html>")
    error = failure(adapter, make_message())
    assert isinstance(error, Retryable)
    assert (error.code, error.ambiguous) == ("not_understood", True)


def test_an_answer_that_does_not_come_is_ambiguous(apple: Apple, make_message: MakeMessage, authority: Any) -> None:
    adapter = Apns(apple.account, Http(LOOPBACK, tls=authority.trusted(), read_s=0.3))
    apple.sink.hangs()
    apple.sink.choose = lambda _: apple.sink.answer
    error = failure(adapter, make_message())
    adapter.close()
    assert isinstance(error, Retryable)
    assert (error.code, error.ambiguous) == ("timeout", True)


@pytest.mark.parametrize(
    ("told", "since"),
    [
        ({"timestamp": 1_764_576_000_123}, datetime(2025, 12, 1, 8, 0, 0, 123_000, UTC)),
        ({}, None),
        ({"timestamp": "soon"}, None),
        ({"timestamp": 1e300}, None),
        ({"timestamp": [1]}, None),
    ],
)
def test_a_dead_device_is_dead_since_apple_says_so(
    adapter: Apns, apple: Apple, make_message: MakeMessage, told: dict[str, Any], since: datetime | None
) -> None:
    """An app that was installed again later has its token given again, and keeps it."""
    apple.refuses(410, "Unregistered", **told)
    error = failure(adapter, make_message())
    assert isinstance(error, InvalidRecipient)
    assert error.since == since


def test_a_device_that_has_enough_slows_down_no_other(adapter: Apns) -> None:
    other = replace(ALICE, address="ab" * 32)
    assert adapter.receiver(ALICE) != adapter.receiver(other)
    assert adapter.scope(ALICE) == adapter.scope(other) == "apns"


def test_each_try_is_for_itself_and_the_collapse_id_replaces_on_the_device(
    adapter: Apns, apple: Apple, make_message: MakeMessage
) -> None:
    for try_number in (1, 2):
        adapter.send(make_message(try_number=try_number), ALICE)
    ids = [(r.headers["apns-id"], r.headers["apns-collapse-id"]) for r in apple.sink.requests]
    assert ids[0] == ids[1]
    assert adapter.is_safe_to_repeat


# ---- the token ------------------------------------------------------------------------------------------------------


def read_token(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """→ header and claims. Raises when the signature is wrong."""
    claims = jwt.decode(token, p256_key().public_key(), algorithms=["ES256"], options={"verify_iat": False})
    return jwt.get_unverified_header(token), claims


def test_the_token_is_signed_as_apple_wants_it(adapter: Apns, apple: Apple, make_message: MakeMessage) -> None:
    adapter.send(make_message(), ALICE)
    assert read_token(apple.tokens[0]) == (
        {"alg": "ES256", "kid": "ABC123DEFG"},
        {"iss": "DEF123GHIJ", "iat": int(FLOORED.timestamp())},
    )


def test_all_processes_sign_the_same_token_for_forty_minutes(
    make_adapter: Callable[..., Apns], apple: Apple, make_message: MakeMessage, time_machine: Any
) -> None:
    for minutes in (0, 39, 40, 79):
        time_machine.move_to(FLOORED + timedelta(minutes=minutes, seconds=59), tick=False)
        for process in (make_adapter(), make_adapter()):
            process.send(make_message(), ALICE)
    tokens = apple.tokens
    assert len(set(tokens[:4])) == len(set(tokens[4:])) == 1
    assert [read_token(token)[1]["iat"] for token in (tokens[0], tokens[4])] == [
        int(FLOORED.timestamp()),
        int((FLOORED + timedelta(minutes=40)).timestamp()),
    ]


def test_a_token_that_is_too_old_for_apple_is_signed_anew_once_for_all_threads(
    adapter: Apns, apple: Apple, make_message: MakeMessage
) -> None:
    """Our clock is half an hour slow."""
    accept = apple._choose

    def judge(request: Any) -> Any:
        _, claims = read_token(request.headers["authorization"].removeprefix("bearer "))
        if claims["iat"] < AT.timestamp():
            return apple.sink.answering(403, {}, b'{"reason":"ExpiredProviderToken"}')
        return accept(request)

    apple.sink.choose = judge
    threads = [threading.Thread(target=adapter.send, args=(make_message(), ALICE)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    adapter.send(make_message(), ALICE)
    issued = {read_token(token)[1]["iat"] for token in apple.tokens}
    assert issued == {int(FLOORED.timestamp()), int(AT.timestamp())}
    assert sum(read_token(token)[1]["iat"] == AT.timestamp() for token in apple.tokens) == 9


def test_a_new_token_that_is_refused_too_is_our_misconfiguration(
    adapter: Apns, apple: Apple, make_message: MakeMessage
) -> None:
    apple.refuses(403, "ExpiredProviderToken")
    assert isinstance(failure(adapter, make_message()), Misconfigured)
    assert len(apple.sink.requests) == 2
    assert isinstance(failure(adapter, make_message()), Misconfigured)
    assert len(apple.sink.requests) == 3  # a token that was just made is not made again


def test_a_fresh_token_is_never_replaced(
    adapter: Apns, apple: Apple, make_message: MakeMessage, time_machine: Any
) -> None:
    """Apple refuses more than one in twenty minutes."""
    time_machine.move_to(FLOORED + timedelta(minutes=19), tick=False)
    apple.refuses(403, "ExpiredProviderToken")
    failure(adapter, make_message())
    assert len(apple.sink.requests) == 1


def test_where_the_token_changes_too_often_it_waits_a_minute(
    adapter: Apns, apple: Apple, make_message: MakeMessage
) -> None:
    apple.refuses(429, "TooManyProviderTokenUpdates")
    error = failure(adapter, make_message())
    assert isinstance(error, RateLimited)
    assert error.retry_after == 60.0


@pytest.mark.parametrize("key", ["s3cret", "-----BEGIN PRIVATE KEY-----\ns3cret\n-----END PRIVATE KEY-----\n"])
def test_a_key_that_is_none_stops_the_start_and_is_not_quoted(make_adapter: Callable[..., Apns], key: str) -> None:
    with pytest.raises(ValueError, match="APNS_KEY") as caught:
        make_adapter(APNS_KEY=key)
    assert "s3cret" not in repr(caught.value)


def test_a_url_that_is_not_https_stops_the_start(make_adapter: Callable[..., Apns]) -> None:
    with pytest.raises(ValueError, match="APNS_URL"):
        make_adapter(APNS_URL="http://api.push.apple.com")


def test_neither_key_nor_token_nor_device_shows_in_an_error(
    adapter: Apns, apple: Apple, make_message: MakeMessage
) -> None:
    apple.refuses(500, "InternalServerError", device=DEVICE)
    error = failure(adapter, make_message())
    told = repr(error) + str(error) + repr(adapter)
    assert [secret for secret in (DEVICE, "PRIVATE", apple.tokens[0]) if secret in told] == []


# ---- trying it out --------------------------------------------------------------------------------------------------


def test_trying_it_out_asks_apple_about_a_device_that_is_none(adapter: Apns, apple: Apple) -> None:
    apple.refuses(400, "BadDeviceToken", device="0" * 64)
    assert adapter.try_out() == "the key"
    assert [request.path for request in apple.sink.requests] == [f"/3/device/{'0' * 64}"]


def test_trying_it_out_says_whose_fault_it_is(adapter: Apns, apple: Apple) -> None:
    apple.refuses(403, "InvalidProviderToken", device="0" * 64)
    with pytest.raises(Misconfigured):
        adapter.try_out()
