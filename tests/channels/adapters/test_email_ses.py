"""Amazon SES, played by a sink: what it is sent, what its answers mean, and what the topic of its events says.

Judged by botocore: its model of the service reads the requests, and its parser the answers.
"""

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, message_from_string
from email.policy import default
from ipaddress import ip_network
from typing import Any
from urllib.parse import parse_qsl

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.parsers import create_parser
from botocore.validate import validate_parameters
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from moto.server import ThreadedMotoServer
from moto.ses.models import ses_backends

from notifier.channels.adapters.email_ses import Ses
from notifier.channels.receipts import Event, HookRefused, HookRequest, Misdirected, Unreadable
from notifier.channels.wire.amazon import Signer
from notifier.channels.wire.http import Http
from notifier.core.errors import (
    DeliveryError,
    InvalidRecipient,
    Misconfigured,
    Permanent,
    RateLimited,
    Retryable,
)
from notifier.core.message import Receipt, Recipient
from tests.channels.refusing import meaning

DELIVERY = "dlv_01930000000070008000000000000001"
ALICE = Recipient("alice@shop.test", name="Alice")
NOW = datetime(2026, 12, 1, 9, 0, tzinfo=UTC)
TOPIC = "arn:aws:sns:eu-central-1:123456789012:mail-events"
KEYS = ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/secret")
SEND_EMAIL = ServiceModel(Loader().load_service_model("sesv2", "service-2")).operation_model("SendEmail")


def ses(http: Http, sink: Any = None, **settings: str) -> Ses:
    given = {
        "SES_REGION": "eu-central-1",
        "SES_ACCESS_KEY": KEYS[0],
        "SES_SECRET_KEY": KEYS[1],
        "SES_FROM": "Käse & Co <orders@shop.test>",
        "SES_CONFIGURATION_SET": "notifier",
        "SES_TOPIC_ARN": TOPIC,
    }
    if sink is not None:
        given["SES_URL"] = f"http://127.0.0.1:{sink.port}/"
        sink.answers(200, {}, b'{"MessageId":"0100018b"}')
    return Ses(given | settings, http)


# ---- sending --------------------------------------------------------------------------------------------------------


def test_the_request(http: Http, sink: Any, make_message: Any, time_machine: Any) -> None:
    time_machine.move_to(NOW, tick=False)
    adapter = ses(http, sink)
    message = make_message(category="marketing", unsubscribe_url="https://notify.test/u/abc")
    assert adapter.send(message, ALICE) == Receipt("sent", provider_message_id="0100018b")
    [request] = sink.requests
    sent = json.loads(request.body)
    raw = base64.b64decode(sent["Content"]["Raw"].pop("Data"))
    assert sent == {
        "FromEmailAddress": "orders@shop.test",
        "Destination": {"ToAddresses": ["alice@shop.test"]},
        "Content": {"Raw": {}},
        "EmailTags": [{"Name": "notifier_delivery", "Value": DELIVERY}],
        "ConfigurationSetName": "notifier",
    }
    assert raw == adapter.compose(message, ALICE).raw
    mail = message_from_bytes(raw, policy=default)
    assert (mail["From"], mail["List-Unsubscribe"], mail["List-Unsubscribe-Post"], mail["Auto-Submitted"]) == (
        "Käse & Co <orders@shop.test>",
        "<https://notify.test/u/abc>",
        "List-Unsubscribe=One-Click",
        "auto-generated",
    )


def test_botocore_would_send_the_same(http: Http, sink: Any, make_message: Any, time_machine: Any) -> None:
    time_machine.move_to(NOW, tick=False)
    ses(http, sink).send(make_message(), ALICE)
    [request] = sink.requests
    sent = json.loads(request.body)
    validate_parameters(sent, SEND_EMAIL.input_shape)
    assert (request.method, request.path) == (SEND_EMAIL.http["method"], SEND_EMAIL.http["requestUri"])
    url = f"http://127.0.0.1:{sink.port}{request.path}"
    signed = AWSRequest("POST", url, data=request.body, headers={"Content-Type": "application/json"})
    SigV4Auth(Credentials(*KEYS), SEND_EMAIL.service_model.signing_name, "eu-central-1").add_auth(signed)
    assert request.headers["authorization"] == signed.headers["Authorization"]


def test_botocore_reads_the_answer_as_we_do() -> None:
    answer = {"status_code": 200, "headers": {}, "body": b'{"MessageId":"0100018b"}'}
    assert create_parser("rest-json").parse(answer, SEND_EMAIL.output_shape)["MessageId"] == "0100018b"


@pytest.mark.parametrize(
    ("region", "host"),
    [("eu-central-1", "email.eu-central-1.amazonaws.com"), ("cn-north-1", "email.cn-north-1.amazonaws.com.cn")],
)
def test_each_region_has_its_host(region: str, host: str, secure_sink: Any, authority: Any, make_message: Any) -> None:
    asked = []

    def resolve(name: str, port: int) -> list[tuple[str, int]]:
        asked.append(name)
        return [("127.0.0.1", secure_sink.port)]

    http = Http([ip_network("127.0.0.0/8")], tls=authority.trusted(), resolve=resolve)
    secure_sink.answers(200, {}, b'{"MessageId":"x"}')
    ses(http, SES_REGION=region).send(make_message(), ALICE)
    assert asked == [host]
    http.close()


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    """moto's server, which plays SES. → its URL"""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


def test_motos_server_takes_the_mail_of_a_sender_that_it_knows(moto: str, http: Http, make_message: Any) -> None:
    """It finds the service and the region by our signature."""
    adapter = ses(http, SES_URL=moto, SES_CONFIGURATION_SET="")
    with pytest.raises(DeliveryError) as caught:
        adapter.send(make_message(), ALICE)
    assert caught.value.code == "MessageRejected"
    body = b"Action=VerifyEmailIdentity&EmailAddress=orders@shop.test"
    signer = Signer("ses", "eu-central-1", *KEYS)
    http.post(f"{moto}/", body, signer.headers(f"{moto}/", body, "application/x-www-form-urlencoded", NOW))

    receipt = adapter.send(make_message(), ALICE)

    [taken] = ses_backends["123456789012"]["eu-central-1"].sent_messages
    mail = message_from_string(taken.raw_data, policy=default)
    assert (taken.id, taken.destinations[0]) == (receipt.provider_message_id, "alice@shop.test")
    assert (mail["Message-ID"], mail["Subject"]) == (f"<{DELIVERY}@shop.test>", "Order A123")


def answer(message: str) -> bytes:
    return json.dumps({"message": message}).encode()


RATE = answer("Maximum sending rate exceeded.")
QUOTA = answer("Daily message quota exceeded.")
UNVERIFIED = answer("Email address is not verified. The following identities failed the check: orders@shop.test")


@pytest.mark.parametrize(
    ("status", "code", "headers", "body", "family", "more"),
    [
        (429, "TooManyRequestsException", {}, RATE, RateLimited, 1),
        (429, "TooManyRequestsException", {}, QUOTA, RateLimited, 600),
        (429, "TooManyRequestsException", {"Retry-After": "7"}, RATE, RateLimited, 7),
        (400, "ThrottlingException", {}, RATE, RateLimited, 1),
        (400, "Throttling", {}, QUOTA, RateLimited, 600),
        (400, "LimitExceededException", {}, answer("x"), RateLimited, 1),
        (400, "MessageRejected", {}, answer("Message content is a virus."), Permanent, None),
        (400, "MessageRejected", {}, UNVERIFIED, Misconfigured, None),
        (400, "MailFromDomainNotVerifiedException", {}, answer("x"), Misconfigured, None),
        (404, "NotFoundException", {}, answer("Configuration set <notifier> does not exist."), Misconfigured, None),
        (400, "AccountSuspendedException", {}, answer("x"), Misconfigured, None),
        (400, "SendingPausedException", {}, answer("x"), Misconfigured, None),
        (400, "BadRequestException", {}, answer("x"), Permanent, None),
        (403, "SignatureDoesNotMatch", {}, answer("x"), Misconfigured, None),
        (403, "InvalidClientTokenId", {}, answer("x"), Misconfigured, None),
        (403, "AccessDeniedException", {}, answer("x"), Misconfigured, None),
        (403, "RequestTimeTooSkewed", {}, answer("x"), Misconfigured, None),
        (500, "InternalFailure", {}, answer("x"), Retryable, False),
        (503, "ServiceUnavailable", {}, answer("x"), Retryable, False),
        (403, None, {}, b"<html>", Misconfigured, None),
        (404, None, {}, b"<html>", Misconfigured, None),
        (429, None, {}, b"", RateLimited, 1),
        (504, None, {}, b"<html>", Retryable, True),
        (400, "WordOfNextYear", {}, answer("x"), Permanent, None),
        (400, "WordOfNextYear", {}, b'{"message":' + b"[" * 60_000, Permanent, None),
        (200, None, {}, b"<html>a proxy's page</html>", Retryable, True),
        (200, None, {}, b'{"MessageId":null}', Retryable, True),
    ],
)  # fmt: skip
def test_each_answer_means_one_thing(
    status: int,
    code: str | None,
    headers: dict[str, str],
    body: bytes,
    family: type[DeliveryError],
    more: float | None,
    http: Http,
    sink: Any,
    make_message: Any,
) -> None:
    """`more`: how long to wait, or whether the mail may have gone out all the same."""
    adapter = ses(http, sink)
    sink.answers(status, headers | ({"x-amzn-ErrorType": code} if code else {}), body)
    code = code or ("not_understood" if status == 200 else f"http_{status}")
    assert meaning(adapter, sink, make_message(), ALICE, *KEYS) == (family, code, more)


def test_what_is_no_address_is_sent_nowhere(http: Http, sink: Any, make_message: Any) -> None:
    with pytest.raises(InvalidRecipient):
        ses(http, sink).send(make_message(), Recipient("alice@shop.test, mallory@evil.test"))
    assert sink.requests == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SES_REGION", "frankfurt"),
        ("SES_ACCESS_KEY", "x"),
        ("SES_FROM", "nobody"),
        ("SES_TOPIC_ARN", "arn:aws:sqs:eu-central-1:123456789012:mail-events"),
        ("SES_TOPIC_ARN", "arn:aws:sns:evil.test/:123456789012:mail-events"),
        ("SES_PER_SECOND", "0"),
        ("SES_PER_SECOND", "many"),
    ],
)
def test_settings_that_make_no_sense_are_named(name: str, value: str, http: Http) -> None:
    with pytest.raises(ValueError, match=f"^{name}: "):
        ses(http, **{name: value})


def test_the_pace_is_the_accounts(http: Http) -> None:
    assert (ses(http).per_second, ses(http, SES_PER_SECOND="200").per_second, Ses.per_second) == (14, 200, 14)


# ---- receipts -------------------------------------------------------------------------------------------------------

AMAZON = "https://sns.eu-central-1.amazonaws.com"
CERTIFICATE = f"{AMAZON}/SimpleNotificationService-9c6465fa7f48f5cacd23014631ec1136.pem"
PRIVATE_KEY = rsa.generate_private_key(65537, 2048)


def certificate() -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    built = x509.CertificateBuilder(name, name, PRIVATE_KEY.public_key(), 1, NOW, NOW + timedelta(days=365))
    return built.sign(PRIVATE_KEY, SHA256()).public_bytes(Encoding.PEM)


class Amazon:
    """Every host of Amazon's. `asked`: what was asked of which."""

    def __init__(self, sink: Any, authority: Any) -> None:
        self.sink = sink
        self.asked: list[str] = []
        self.http = Http([ip_network("127.0.0.0/8")], tls=authority.trusted(), resolve=self._resolve, read_s=0.5)
        sink.answers(200, {}, certificate())

    def _resolve(self, name: str, port: int) -> list[tuple[str, int]]:
        self.asked.append(name)
        return [("127.0.0.1", self.sink.port)]


@pytest.fixture
def amazon(secure_sink: Any, authority: Any) -> Iterator[Amazon]:
    found = Amazon(secure_sink, authority)
    yield found
    found.http.close()


def envelope(message: Any, kind: str = "Notification", **changes: Any) -> dict[str, Any]:
    found = {
        "Type": kind,
        "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "TopicArn": TOPIC,
        "Subject": "Amazon SES Email Event Notification",
        "Message": message if isinstance(message, str) else json.dumps(message) + "\n",
        "Timestamp": "2026-12-01T08:59:58.655Z",
        "SignatureVersion": "1",
        "SigningCertURL": CERTIFICATE,
        "UnsubscribeURL": f"{AMAZON}/?Action=Unsubscribe&SubscriptionArn={TOPIC}:c9135db0",
    }
    if kind != "Notification":
        del found["Subject"]
        found |= {"Token": "2336412f37f", "SubscribeURL": f"{AMAZON}/?Action=ConfirmSubscription&Token=2336412f37f"}
    found |= changes
    return {name: value for name, value in found.items() if value is not None}


def text_to_sign(told: dict[str, Any]) -> str:
    """As Amazon's documents write it out."""
    if told["Type"] == "Notification":
        subject = f"Subject\n{told['Subject']}\n" if told.get("Subject") else ""
        return (
            f"Message\n{told['Message']}\nMessageId\n{told['MessageId']}\n{subject}"
            f"Timestamp\n{told['Timestamp']}\nTopicArn\n{told['TopicArn']}\nType\n{told['Type']}\n"
        )
    return (
        f"Message\n{told['Message']}\nMessageId\n{told['MessageId']}\nSubscribeURL\n{told['SubscribeURL']}\n"
        f"Timestamp\n{told['Timestamp']}\nToken\n{told['Token']}\nTopicArn\n{told['TopicArn']}\nType\n{told['Type']}\n"
    )


def call(told: dict[str, Any], *, header: str | None = None, **arrives: Any) -> HookRequest:
    """A call as SNS makes it, with other fields in the place of what was signed."""
    hashed = {"1": SHA1, "2": SHA256}[told["SignatureVersion"]]()
    signature = base64.b64encode(PRIVATE_KEY.sign(text_to_sign(told).encode(), PKCS1v15(), hashed)).decode()
    return HookRequest(
        "POST",
        "https://notify.test/hooks/ses",
        {"content-type": "text/plain; charset=UTF-8", "x-amz-sns-message-type": header or told["Type"]},
        json.dumps({**told, "Signature": signature, **arrives}).encode(),
        NOW,
    )


MAIL = {
    "timestamp": "2026-12-01T08:50:00.000Z",
    "source": "orders@shop.test",
    "messageId": "0100018b",
    "destination": ["alice@shop.test"],
    "tags": {"ses:configuration-set": ["notifier"], "notifier_delivery": [DELIVERY]},
}
AT = datetime(2026, 12, 1, 8, 59, 30, tzinfo=UTC)
WHEN = {"timestamp": "2026-12-01T08:59:30.000Z"}
ID = "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324"


def bounce(kind: str, sub: str, **recipient: str) -> dict[str, Any]:
    return {
        "eventType": "Bounce",
        "bounce": {
            "bounceType": kind,
            "bounceSubType": sub,
            "bouncedRecipients": [{"emailAddress": "alice@shop.test", "action": "failed", **recipient}],
            "feedbackId": "0100017",
            **WHEN,
        },
        "mail": MAIL,
    }


def complaint(**fields: Any) -> dict[str, Any]:
    recipients = [{"emailAddress": "alice@shop.test"}]
    return {"eventType": "Complaint", "complaint": {"complainedRecipients": recipients, **WHEN, **fields}, "mail": MAIL}


def event(word: str, **details: Any) -> dict[str, Any]:
    under = "failure" if word == "Rendering Failure" else "deliveryDelay" if word == "DeliveryDelay" else word.lower()
    return {"eventType": word, under: {**WHEN, **details}, "mail": MAIL}


def told(kind: Any, event_id: str = ID, **changes: Any) -> Event:
    facts: dict[str, Any] = {"address": "alice@shop.test", "delivery_id": DELIVERY, "provider_message_id": "0100018b"}
    return Event(event_id, kind, changes.pop("at", AT), **facts | changes)


UNSUBSCRIBED = {"unsubscribeAll": True, "topicSubscriptionStatus": []}
EVENTS: list[tuple[dict[str, Any], list[Event]]] = [
    ({"eventType": "Send", "send": {}, "mail": MAIL}, [told("sent", at=datetime(2026, 12, 1, 8, 59, 58, 655000, UTC))]),
    (event("Delivery", recipients=["alice@shop.test"], smtpResponse="250 ok"), [told("delivered")]),
    (event("DeliveryDelay", delayType="TransientCommunicationFailure"), []),
    (event("Reject", reason="Bad content"), [told("failed", code="Bad content")]),
    (event("Rendering Failure", errorMessage="x", templateName="y"), [told("failed")]),
    (event("Open", userAgent="Mozilla/5.0"), [told("opened")]),
    (event("Click", link="https://shop.test/?token=x"), [told("clicked")]),
    (bounce("Permanent", "General", status="5.1.1"), [told("bounced", code="Permanent/General")]),
    (bounce("Permanent", "NoEmail"), [told("bounced", code="Permanent/NoEmail")]),
    (bounce("Permanent", "Suppressed"), [told("bounced", code="Permanent/Suppressed")]),
    (
        bounce("Permanent", "OnAccountSuppressionList"),
        [told("bounced", code="Permanent/OnAccountSuppressionList")],
    ),
    (bounce("Transient", "General"), []),
    (bounce("Transient", "General", status="5.4.4"), [told("bounced", code="Transient/General")]),
    (bounce("Transient", "MailboxFull"), [told("failed", code="Transient/MailboxFull")]),
    (bounce("Transient", "ContentRejected"), [told("failed", code="Transient/ContentRejected")]),
    (bounce("Undetermined", "Undetermined"), [told("failed", code="Undetermined/Undetermined")]),
    (complaint(), [told("complained")]),
    (complaint(complaintFeedbackType="abuse"), [told("complained", code="abuse")]),
    (complaint(complaintFeedbackType="not-spam"), []),
    (
        complaint(complaintSubType="OnAccountSuppressionList"),
        [
            told("failed", code="OnAccountSuppressionList"),
            told("complained", f"{ID}:1", code="OnAccountSuppressionList"),
        ],
    ),
    (event("Subscription", newTopicPreferences=UNSUBSCRIBED), [told("unsubscribed")]),
    (event("Subscription", newTopicPreferences={"unsubscribeAll": False}), []),
    (event("Of Next Year"), []),
    ({"mail": MAIL}, []),
    ({"eventType": "Bounce", "bounce": None, "mail": {}}, []),
    ({"eventType": "Complaint", "complaint": {"complainedRecipients": "x"}, "mail": {}}, []),
    ({"eventType": ["Send"], "mail": {}}, []),
    (
        {"eventType": "Open", "open": "x", "mail": {"destination": [1], "tags": {"notifier_delivery": []}}},
        [Event(ID, "opened", datetime(2026, 12, 1, 8, 59, 58, 655000, UTC))],
    ),
]


def kind_of(value: Any) -> str:
    return str(value.get("eventType")) if isinstance(value, dict) else ""


@pytest.mark.parametrize(("sent", "events"), EVENTS, ids=kind_of)
def test_each_event_says_one_thing(sent: dict[str, Any], events: list[Event], amazon: Amazon) -> None:
    assert list(ses(amazon.http).read_receipts(call(envelope(sent)))) == events


def test_it_tells_all_that_it_says_it_can() -> None:
    assert {event.kind for _, events in EVENTS for event in events} == set(Ses.tells)


def test_a_notification_without_a_configuration_set_says_the_same(amazon: Amazon) -> None:
    """It has another name for the type, no tags, and our headers if they are included."""
    sent = bounce("Permanent", "General")
    sent["notificationType"] = sent.pop("eventType")
    headers = [{"name": "From", "value": "x"}, {"name": "Message-ID", "value": f"<{DELIVERY}@shop.test>"}]
    sent["mail"] = {name: value for name, value in MAIL.items() if name != "tags"} | {"headers": headers}
    [read] = ses(amazon.http).read_receipts(call(envelope(sent)))
    assert read == told("bounced", code="Permanent/General")


def test_one_event_may_be_about_several(amazon: Amazon) -> None:
    sent = bounce("Permanent", "General")
    sent["bounce"]["bouncedRecipients"] += [{"emailAddress": "bob@shop.test"}, None]
    read = ses(amazon.http).read_receipts(call(envelope(sent)))
    assert [(one.id, one.address) for one in read] == [(ID, "alice@shop.test"), (f"{ID}:1", "bob@shop.test")]


@pytest.mark.parametrize(("version", "subject"), [("1", "x"), ("2", "x"), ("1", None), ("2", ""), ("2", "Grüße\n")])
def test_both_versions_of_the_signature_are_verified(version: str, subject: str | None, amazon: Amazon) -> None:
    request = call(envelope(event("Delivery"), SignatureVersion=version, Subject=subject))
    assert [one.kind for one in ses(amazon.http).read_receipts(request)] == ["delivered"]


def test_the_certificate_is_fetched_once(amazon: Amazon) -> None:
    adapter = ses(amazon.http)
    for _ in range(3):
        adapter.read_receipts(call(envelope(event("Delivery"))))
    [request] = amazon.sink.requests
    assert (request.method, request.path) == ("GET", "/SimpleNotificationService-9c6465fa7f48f5cacd23014631ec1136.pem")


@pytest.mark.slow
def test_only_some_certificates_are_kept(amazon: Amazon) -> None:
    adapter = ses(amazon.http)
    for number in [*range(20), 19, 0]:
        adapter.read_receipts(
            call(envelope(event("Delivery")), SigningCertURL=f"{AMAZON}/SimpleNotificationService-{number}.pem")
        )
    assert len(amazon.sink.requests) == 21, "the last one was kept, the first was not"


STRANGE_CERTIFICATES = [
    "http://sns.eu-central-1.amazonaws.com/SimpleNotificationService-1.pem",
    "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-1.pem",
    "https://sns.eu-central-1.amazonaws.com.evil.test/SimpleNotificationService-1.pem",
    "https://sns.eu-central-1.amazonaws.com@evil.test/SimpleNotificationService-1.pem",
    "https://sns.eu-central-1.amazonaws.com:8443/SimpleNotificationService-1.pem",
    "https://s3.amazonaws.com/bucket/SimpleNotificationService-1.pem",
    "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-../../x.pem",
    "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-1.pem?x",
    "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-1.pem\n",
    "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription",
    "",
    None,
]
DELIVERED = envelope(event("Delivery"))
REFUSED = {
    **{f"certificate at {url}": call(DELIVERED, SigningCertURL=url) for url in STRANGE_CERTIFICATES},
    "another topic": call(envelope(event("Delivery"), TopicArn=TOPIC.replace("mail", "evil"))),
    "the topic of another": call(envelope(event("Delivery"), TopicArn=TOPIC.replace("1234", "9999"))),
    "no topic": call(DELIVERED, TopicArn=None),
    "another type in the header": call(DELIVERED, header="SubscriptionConfirmation"),
    "no type": call(DELIVERED, Type=None),
    "a type in a list": call(DELIVERED, Type=["Notification"]),
    "version 3": call(DELIVERED, SignatureVersion="3"),
    "no version": call(DELIVERED, SignatureVersion=None),
    "a version in a list": call(DELIVERED, SignatureVersion=[]),
    "no id": call(DELIVERED, MessageId=None),
    "an object as message": call(DELIVERED, Message={}),
}
REFUSED_AFTER_A_LOOK = {
    "another message": call(DELIVERED, Message=json.dumps(bounce("Permanent", "General"))),
    "another id": call(DELIVERED, MessageId="x"),
    "another time": call(DELIVERED, Timestamp="2026-12-01T09:00:00.000Z"),
    "another subject": call(DELIVERED, Subject="x"),
    "no subject": call(DELIVERED, Subject=None),
    "the other hash": call(DELIVERED, SignatureVersion="2"),
    "no signature": call(DELIVERED, Signature=None),
    "no base64": call(DELIVERED, Signature="ä"),
}


@pytest.mark.parametrize("request_", REFUSED.values(), ids=REFUSED)
def test_what_is_not_the_topics_is_refused_and_nothing_is_fetched(request_: HookRequest, amazon: Amazon) -> None:
    with pytest.raises(HookRefused):
        ses(amazon.http).read_receipts(request_)
    assert (amazon.asked, amazon.sink.requests) == ([], [])


@pytest.mark.parametrize("request_", REFUSED_AFTER_A_LOOK.values(), ids=REFUSED_AFTER_A_LOOK)
def test_what_was_changed_is_refused(request_: HookRequest, amazon: Amazon) -> None:
    with pytest.raises(HookRefused):
        ses(amazon.http).read_receipts(request_)


@pytest.mark.parametrize(("status", "body"), [(404, b""), (403, b"<Error/>"), (302, b""), (200, b"<html>"), (200, b"")])
def test_a_certificate_that_is_none_is_refused(status: int, body: bytes, amazon: Amazon) -> None:
    amazon.sink.answers(status, {"Location": "https://evil.test/"}, body)
    with pytest.raises(HookRefused):
        ses(amazon.http).read_receipts(call(DELIVERED))
    assert amazon.asked == ["sns.eu-central-1.amazonaws.com"]


def test_while_amazon_does_not_answer_nothing_is_said_of_the_call(amazon: Amazon) -> None:
    """Neither taken nor refused: SNS does not repeat what was refused."""
    amazon.sink.answers(503)
    adapter = ses(amazon.http)
    with pytest.raises(Retryable):
        adapter.read_receipts(call(DELIVERED))
    amazon.sink.answers(200, {}, certificate())
    assert len(adapter.read_receipts(call(DELIVERED))) == 1


@pytest.mark.parametrize("body", [b"", b"not JSON", b"[]", b"null", b"\xff"])
def test_a_body_that_is_no_envelope_is_unreadable(body: bytes, amazon: Amazon) -> None:
    with pytest.raises(Unreadable):
        ses(amazon.http).read_receipts(HookRequest("POST", "https://notify.test/hooks/ses", {}, body, NOW))


@pytest.mark.parametrize("text", ["hello", "[]", "null", '{"eventType":"Send"}', '{"mail":1}', "[" * 100_000])
def test_what_is_published_and_no_event_is_unreadable(text: str, amazon: Amazon) -> None:
    with pytest.raises(Unreadable):
        ses(amazon.http).read_receipts(call(envelope(text)))


def test_amazons_test_message_is_taken_and_says_nothing(amazon: Amazon) -> None:
    request = call(envelope("Successfully validated SNS topic for Amazon SES event publishing."))
    assert ses(amazon.http).read_receipts(request) == []


def test_a_topic_for_incoming_mail_is_named(amazon: Amazon) -> None:
    with pytest.raises(Misdirected, match="incoming"):
        ses(amazon.http).read_receipts(call(envelope({"notificationType": "Received", "mail": MAIL})))


# ---- the subscription -----------------------------------------------------------------------------------------------

CONFIRMATION = "SubscriptionConfirmation"


def test_a_subscription_is_confirmed_in_the_topics_region(amazon: Amazon) -> None:
    """By a call of our own: its SubscribeURL could lead anywhere."""
    request = call(envelope("You have chosen to subscribe", CONFIRMATION, SubscribeURL="https://evil.test/"))
    assert ses(amazon.http, SES_REGION="us-east-1").read_receipts(request) == []
    _, confirmed = amazon.sink.requests
    assert set(amazon.asked) == {"sns.eu-central-1.amazonaws.com"}
    assert (confirmed.method, confirmed.path, dict(parse_qsl(confirmed.body.decode()))) == (
        "POST",
        "/",
        {"Action": "ConfirmSubscription", "Version": "2010-03-31", "TopicArn": TOPIC, "Token": "2336412f37f"},
    )


def test_botocore_would_confirm_it_the_same_way(amazon: Amazon) -> None:
    model = ServiceModel(Loader().load_service_model("sns", "service-2"))
    operation = model.operation_model("ConfirmSubscription")
    ses(amazon.http).read_receipts(call(envelope("x", CONFIRMATION)))
    sent = dict(parse_qsl(amazon.sink.requests[1].body.decode()))
    assert (sent.pop("Action"), sent.pop("Version")) == (operation.name, model.api_version)
    validate_parameters(sent, operation.input_shape)


@pytest.mark.parametrize(
    "request_",
    [
        call(envelope("x", CONFIRMATION, TopicArn=TOPIC.replace("mail", "evil"))),
        call(envelope("x", CONFIRMATION), Token="another"),
        call(envelope("x", CONFIRMATION), SubscribeURL="https://evil.test/"),
        call(envelope("x", CONFIRMATION), Token=None),
    ],
    ids=["another topic", "another token", "another URL", "no token"],
)
def test_a_subscription_that_is_not_the_topics_is_not_confirmed(request_: HookRequest, amazon: Amazon) -> None:
    with pytest.raises(HookRefused):
        ses(amazon.http).read_receipts(request_)
    assert [request.method for request in amazon.sink.requests if request.method == "POST"] == []


def test_the_end_of_the_subscription_is_told(amazon: Amazon) -> None:
    with pytest.raises(Misdirected, match="subscription was ended"):
        ses(amazon.http).read_receipts(call(envelope("x", "UnsubscribeConfirmation")))


def test_without_a_topic_nothing_is_taken(amazon: Amazon) -> None:
    with pytest.raises(HookRefused, match="SES_TOPIC_ARN"):
        Ses({}, amazon.http).read_receipts(call(DELIVERED))
    assert amazon.asked == []
