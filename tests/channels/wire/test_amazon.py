"""Signed requests to Amazon, judged by botocore."""

from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from notifier.channels.wire.amazon import Signer, code_of, host
from notifier.channels.wire.answers import Response

NOW = datetime(2026, 12, 1, 9, 0, 5, tzinfo=UTC)
KEYS = {"X_REGION": "eu-central-1", "X_ACCESS_KEY": "AKIAIOSFODNN7EXAMPLE", "X_SECRET_KEY": "wJalrXUtnFEMI/K7MDENG+EX"}


def signer(service: str, **changes: str) -> Signer:
    found = Signer.of(service, KEYS | changes, "X")
    assert found is not None
    return found


@pytest.mark.parametrize("service", ["ses", "sns"])
@pytest.mark.parametrize("region", ["eu-central-1", "us-gov-west-1", "cn-north-1"])
@pytest.mark.parametrize(
    "url",
    [
        "https://email.eu-central-1.amazonaws.com/v2/email/outbound-emails",
        "https://sns.eu-central-1.amazonaws.com/",
        "https://sns.eu-central-1.amazonaws.com",
        "http://127.0.0.1:8443/behind a/pröxy/%7E~*",
    ],
)
@pytest.mark.parametrize("body", [b"", b"{}", "{'Grüße': '€'}".encode() * 1000])
@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded; charset=utf-8"])
def test_the_signature_is_botocores(
    service: str, region: str, url: str, body: bytes, content_type: str, time_machine: Any
) -> None:
    time_machine.move_to(NOW, tick=False)
    ours = signer(service, X_REGION=region).headers(url, body, content_type, NOW)
    theirs = AWSRequest("POST", url, data=body, headers={"Content-Type": content_type})
    SigV4Auth(Credentials(KEYS["X_ACCESS_KEY"], KEYS["X_SECRET_KEY"]), service, region).add_auth(theirs)
    assert ours == dict(theirs.headers)


@pytest.mark.parametrize("missing", list(KEYS))
def test_without_a_setting_there_is_no_signer(missing: str) -> None:
    assert Signer.of("ses", {name: value for name, value in KEYS.items() if name != missing}, "X") is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X_REGION", "frankfurt"),
        ("X_REGION", "evil.test/eu-central-1"),
        ("X_REGION", "eu-central-1\n"),
        ("X_ACCESS_KEY", "s3cret"),
        ("X_ACCESS_KEY", "AKIAIOSFODNN7EXAMPLE\r\nX: y"),
    ],
)
def test_a_region_or_key_that_is_none_is_named_and_not_quoted(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"^{name}: ") as caught:
        Signer.of("ses", KEYS | {name: value}, "X")
    assert value not in str(caught.value)


def test_a_signer_shows_no_secret() -> None:
    assert KEYS["X_SECRET_KEY"] not in repr(signer("ses"))


@pytest.mark.parametrize(
    ("region", "found"),
    [
        ("eu-central-1", "sns.eu-central-1.amazonaws.com"),
        ("us-gov-west-1", "sns.us-gov-west-1.amazonaws.com"),
        ("cn-north-1", "sns.cn-north-1.amazonaws.com.cn"),
    ],
)
def test_each_region_has_its_host(region: str, found: str) -> None:
    assert host("sns", region) == found


XML = (
    b'<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><Error><Type>Sender</Type>'
    b"<Code>InvalidParameter</Code><Message>x</Message></Error></ErrorResponse>"
)


@pytest.mark.parametrize(
    ("headers", "body", "code"),
    [
        ({"x-amzn-errortype": "MessageRejected"}, b"{}", "MessageRejected"),
        ({"x-amzn-errortype": "Throttling:http://internal.amazon.com/x"}, b"{}", "Throttling"),
        ({}, b'{"__type":"com.amazonaws.sesv2#BadRequestException","message":"x"}', "BadRequestException"),
        ({}, b'{"code":"NotFound"}', "NotFound"),
        ({}, XML, "InvalidParameter"),
        ({}, b'{"__type":7}', None),
        ({}, b"<html>502</html>", None),
        ({}, b"", None),
    ],
)
def test_the_word_for_an_error_stands_in_one_of_three_places(
    headers: dict[str, str], body: bytes, code: str | None
) -> None:
    assert code_of(Response(400, headers, body)) == code
    assert code_of(Response(200, headers, body)) is None
