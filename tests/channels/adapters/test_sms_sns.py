"""SMS by Amazon SNS: requests are judged by botocore and by moto's server, answers by botocore's parser."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from moto.server import ThreadedMotoServer

from notifier.channels.adapters.sms_sns import Sns
from notifier.channels.receipts import HookRefused, HookRequest
from notifier.channels.wire.http import Http
from notifier.core.errors import (
    DeliveryError,
    InvalidRecipient,
    Misconfigured,
    OptedOut,
    Permanent,
    RateLimited,
    Retryable,
)
from notifier.core.message import Content, Receipt, Recipient

TO = Recipient("+4915112345678")
AT = datetime(2026, 12, 1, 9, 0, tzinfo=UTC)
KEYS = ("AKIAIOSFODNN7EXAMPLE", "je7MtGbClwBF/2Zp9Utk/h3yCo8nvbEXAMPLEKEY")
SETTINGS = {
    "SNS_REGION": "eu-central-1",
    "SNS_ACCESS_KEY": KEYS[0],
    "SNS_SECRET_KEY": KEYS[1],
    "SNS_SENDER_ID": "Shop",
}
PUBLISH = ServiceModel(Loader().load_service_model("sns", "service-2")).operation_model("Publish")
ID = "94f20ce6-13c5-43a0-9a9e-ca52d816e90b"
ANSWER = (
    '<PublishResponse xmlns="https://sns.amazonaws.com/doc/2010-03-31/"><PublishResult>'
    f"<MessageId>{ID}</MessageId></PublishResult><ResponseMetadata>"
    "<RequestId>f187a3c1-376f-11df-8963-01868b7c937a</RequestId></ResponseMetadata></PublishResponse>"
).encode()


def refusal(code: str, message: str = "no") -> bytes:
    return (
        '<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><Error><Type>Sender</Type>'
        f"<Code>{code}</Code><Message>{message}</Message></Error>"
        "<RequestId>9dd01905-5012-5f99-8663-4b3ecd0dfaef</RequestId></ErrorResponse>"
    ).encode()


@pytest.fixture
def make(http: Http, sink: Any) -> Any:
    sink.answers(200, {"Content-Type": "text/xml"}, ANSWER)
    return lambda **changes: Sns({**SETTINGS, "SNS_URL": f"http://127.0.0.1:{sink.port}", **changes}, http)


def fields(request: Any) -> dict[str, str]:
    return dict(parse_qsl(request.body.decode(), keep_blank_values=True, strict_parsing=True))


@pytest.mark.parametrize(
    ("category", "sender", "of_sms"),
    [
        ("transactional", "Shop", {"SMSType": "Transactional", "SenderID": "Shop"}),
        ("system", "", {"SMSType": "Transactional"}),
        ("marketing", "Shop", {"SMSType": "Promotional", "SenderID": "Shop"}),
        ("social", "", {"SMSType": "Promotional"}),
    ],
)
def test_botocore_would_send_the_same(
    category: str, sender: str, of_sms: dict[str, str], make: Any, sink: Any, make_message: Any, time_machine: Any
) -> None:
    time_machine.move_to(AT, tick=False)
    message = make_message(category=category, content=Content("t", "Größe & Preis: 5 € + 😀"))
    receipt = make(SNS_SENDER_ID=sender).send(message, TO)
    [request] = sink.requests
    theirs = create_serializer("query").serialize_to_request(
        {
            "PhoneNumber": TO.address,
            "Message": "Größe & Preis: 5 € + 😀",
            "MessageAttributes": {
                f"AWS.SNS.SMS.{k}": {"DataType": "String", "StringValue": v} for k, v in of_sms.items()
            },
        },
        PUBLISH,
    )
    assert (request.method, request.path, fields(request)) == ("POST", theirs["url_path"], theirs["body"])
    headers = {"Content-Type": request.headers["content-type"]}
    signed = AWSRequest("POST", f"http://127.0.0.1:{sink.port}/", data=request.body, headers=headers)
    SigV4Auth(Credentials(*KEYS), "sns", "eu-central-1").add_auth(signed)
    assert request.headers["authorization"] == signed.headers["Authorization"]
    assert request.headers["x-request-id"] == message.delivery_id
    assert receipt == Receipt("sent", provider_message_id=ID)


def test_botocore_reads_the_answer_as_we_do() -> None:
    answer = {"status_code": 200, "headers": {}, "body": ANSWER}
    assert create_parser("query").parse(answer, PUBLISH.output_shape)["MessageId"] == ID


@pytest.mark.parametrize(
    ("status", "code", "message", "family"),
    [
        (400, "InvalidParameter", "Invalid parameter: PhoneNumber Reason: +12 is not valid", InvalidRecipient),
        (400, "InvalidParameter", "Invalid parameter: Message too long", Permanent),
        (400, "InvalidParameter", "Invalid parameter: PhoneNumbers", Permanent),
        (400, "ParameterValueInvalid", "no", Permanent),
        (400, "ValidationError", "no", Permanent),
        (400, "SomethingNew", "no", Permanent),
        (400, "OptedOut", "no", OptedOut),
        (400, "Throttled", "no", RateLimited),
        (429, "ThrottledException", "no", RateLimited),
        (400, "Throttling", "no", RateLimited),
        (400, "KMSThrottling", "no", RateLimited),
        (403, "AuthorizationError", "no", Misconfigured),
        (400, "EndpointDisabled", "no", Misconfigured),
        (400, "KMSDisabled", "no", Misconfigured),
        (400, "KMSAccessDenied", "no", Misconfigured),
        (403, "InvalidSecurity", "no", Misconfigured),
        (403, "SignatureDoesNotMatch", "no", Misconfigured),
        (403, "InvalidClientTokenId", "no", Misconfigured),
        (404, "NotFound", "no", Misconfigured),
        (500, "InternalError", "no", Retryable),
        (503, "ServiceUnavailable", "no", Retryable),
    ],
)  # fmt: skip
def test_each_answer_means_one_thing(
    status: int, code: str, message: str, family: type[DeliveryError], make: Any, sink: Any, make_message: Any
) -> None:
    told = refusal(code, f"{message} {KEYS[1]}")
    parsed = create_parser("query").parse({"status_code": status, "headers": {}, "body": told}, PUBLISH.output_shape)
    assert parsed["Error"]["Code"] == code
    sink.answers(status, {}, told)
    with pytest.raises(DeliveryError) as caught:
        make().send(make_message(), TO)
    assert (type(caught.value), caught.value.code, KEYS[1] in str(caught.value)) == (family, code, False)
    assert getattr(caught.value, "ambiguous", False) == (code == "InternalError")  # nobody knows how far it came


@pytest.mark.parametrize(
    ("status", "family"),
    [
        *((401, Misconfigured), (404, Misconfigured), (429, RateLimited), (400, Permanent)),
        *((500, Retryable), (502, Retryable), (503, Retryable)),
    ],
)
def test_an_answer_that_is_not_amazons_is_judged_by_its_status(
    status: int, family: type[DeliveryError], make: Any, sink: Any, make_message: Any
) -> None:
    sink.answers(status, {}, b"<html>")
    with pytest.raises(DeliveryError) as caught:
        make().send(make_message(), TO)
    assert (type(caught.value), caught.value.code) == (family, f"http_{status}")
    assert getattr(caught.value, "ambiguous", False) == (status in (500, 502))


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"{}", b"<PublishResponse></PublishResponse>", b"<MessageId></MessageId>"]
)
def test_a_success_without_an_id_may_have_been_sent(body: bytes, make: Any, sink: Any, make_message: Any) -> None:
    sink.answers(200, {}, body)
    with pytest.raises(Retryable) as caught:
        make().send(make_message(), TO)
    assert (caught.value.code, caught.value.ambiguous) == ("not_understood", True)


def test_silence_after_the_body_was_read_is_ambiguous(make: Any, sink: Any, make_message: Any) -> None:
    sink.hangs_up()
    with pytest.raises(Retryable) as caught:
        make().send(make_message(), TO)
    assert (caught.value.ambiguous, len(sink.requests)) == (True, 1)


@pytest.mark.parametrize(
    ("name", "value"),
    [("SNS_SENDER_ID", "a name that is too long"), ("SNS_SENDER_ID", "123"), ("SNS_REGION", "Europe")],
)
def test_a_setting_that_cannot_be_right_is_refused_by_name(name: str, value: str, http: Http) -> None:
    with pytest.raises(ValueError, match=f"^{name}: "):
        Sns({**SETTINGS, name: value}, http)


def test_nothing_is_told_afterwards(make: Any) -> None:
    assert (Sns.tells, make().missing_for_receipts) == ((), [])
    with pytest.raises(HookRefused):
        make().read_receipts(HookRequest("POST", "https://notify.test/hooks/sns", {}, b"{}", AT))


@pytest.fixture
def moto() -> Iterator[str]:
    """A server that plays Amazon's services → its address."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def test_a_server_that_others_wrote_takes_it(moto: str, http: Http, make_message: Any) -> None:
    receipt = Sns({**SETTINGS, "SNS_URL": moto}, http).send(make_message(), TO)
    assert receipt.status == "sent"
    assert receipt.provider_message_id
