"""A message as an internet mail: what its headers say, and that nothing can be smuggled into them."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from email.utils import getaddresses
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notifier.channels import mail
from notifier.core.message import Content, Recipient

AT = datetime(2026, 12, 1, 9, 0, tzinfo=UTC)
SENDER = mail.sender("Shop <orders@shop.test>")
UNSUBSCRIBE = "https://notifier.test/u/" + "eyJ1IjoiYWxpY2UifQ.Z" * 20

nasty = st.text(st.sampled_from('aß€,:;<>@"\\()[]. \r\n\t\x00\x85\u2028=?_😀\ud800') | st.characters(), max_size=120)


def compose(make_message: Callable[..., Any], to: Recipient = Recipient("alice@shop.test"), **changes: Any) -> tuple[bytes, EmailMessage]:  # noqa: B008
    raw = mail.compose(make_message(**changes), to, by=SENDER, at=AT).as_bytes()
    parsed = message_from_bytes(raw, policy=default)
    assert isinstance(parsed, EmailMessage)
    return raw, parsed


def test_the_headers_of_a_mail(make_message: Any) -> None:
    _, parsed = compose(make_message, Recipient("alice@shop.test", name="Alice"))
    assert {name: str(value) for name, value in parsed.items() if name not in ("MIME-Version", "Content-Type")} == {
        "From": "Shop <orders@shop.test>",
        "To": "Alice <alice@shop.test>",
        "Subject": "Order A123",
        "Date": "Tue, 01 Dec 2026 09:00:00 +0000",
        "Message-ID": "<dlv_01930000000070008000000000000001@shop.test>",
        "Auto-Submitted": "auto-generated",
    }


def test_the_message_id_is_the_same_on_every_try(make_message: Any) -> None:
    ids = {compose(make_message, try_number=number)[1]["Message-ID"] for number in (1, 2, 3)}
    assert len(ids) == 1


def test_one_click_unsubscribe_is_offered_on_one_unfolded_line(make_message: Any) -> None:
    """Folded, the standard library would put the long URL into an encoded word, which no mail program takes for a URL."""
    raw, parsed = compose(make_message, unsubscribe_url=UNSUBSCRIBE)
    assert f"\r\nList-Unsubscribe: <{UNSUBSCRIBE}>\r\n".encode() in raw
    assert parsed["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("plain", "7bit"),
        ("two\nlines\twith a tab", "7bit"),
        ("Grüße", "quoted-printable"),
        ("x" * 2000, "quoted-printable"),
        ("a\x00b", "quoted-printable"),
        ("你好" * 500, "quoted-printable"),
    ],
)
@pytest.mark.parametrize("address", ["alice@shop.test", "büro@shop.test"])
def test_parts_are_7bit_or_quoted_printable(text: str, encoding: str, address: str, make_message: Any) -> None:
    raw, parsed = compose(make_message, Recipient(address), content=Content(title="Hello", body=text, html=f"<p>{text}</p>"))
    assert [part["Content-Transfer-Encoding"] for part in parsed.walk() if not part.is_multipart()] == [encoding, encoding]
    assert raw.partition(b"\r\n\r\n")[2].isascii()


def test_a_text_survives_the_journey(make_message: Any) -> None:
    text = "Grüße aus München,\n\n.\n..\nFrom here on = 5 € \n"
    _, parsed = compose(make_message, content=Content(title="Grüße " * 40, body=text, html=f"<p>{text}</p>"))
    plain, html = parsed.get_body(("plain",)), parsed.get_body(("html",))
    assert plain is not None
    assert html is not None
    assert (parsed["Subject"], plain.get_content().replace("\r\n", "\n")) == (("Grüße " * 40).strip(), text)
    assert html.get_content().replace("\r\n", "\n").rstrip("\n") == f"<p>{text}</p>"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(name=nasty, subject=nasty, body=nasty, html=nasty, address=st.sampled_from(["alice@shop.test", "büro@shop.test"]))
def test_nothing_can_be_smuggled_into_a_mail(name: str, subject: str, body: str, html: str, address: str, make_message: Any) -> None:
    content = Content(title="Title", subject=subject, body=body, html=html)
    raw, parsed = compose(make_message, Recipient(address, name=name), content=content, unsubscribe_url=UNSUBSCRIBE)
    names = ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "List-Unsubscribe", "List-Unsubscribe-Post"]
    assert [key for key in parsed if not key.startswith("Content-") and key != "MIME-Version"] == names
    assert [found for _, found in getaddresses([str(parsed["To"])])] == [address]
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n", raw)
    assert max(len(line) for line in raw.split(b"\r\n")) <= 998


@pytest.mark.parametrize(
    "name", ["Doe, Jane", 'x" <mallory@evil.test>, "', "Müller, Bcc: mallory@evil.test " * 5, "a\r\nBcc: mallory@evil.test", "(", "\\", "@"]
)
@pytest.mark.parametrize("address", ["alice@shop.test", "büro@shop.test"])
def test_a_name_cannot_become_a_second_recipient(name: str, address: str, make_message: Any) -> None:
    _, parsed = compose(make_message, Recipient(address, name=name))
    assert ([found for _, found in getaddresses([str(parsed["To"])])], parsed["Bcc"]) == ([address], None)


@pytest.mark.parametrize(
    ("given", "expected"), [("a@x.test", "a@x.test"), ("büro@münchen.test", "büro@xn--mnchen-3ya.test"), ("a@BÜCHER.test", "a@xn--bcher-kva.test")]
)
def test_a_domain_is_written_in_ascii(given: str, expected: str) -> None:
    assert mail.ascii_domain(given) == expected


@pytest.mark.parametrize("address", ["", "alice", "alice@", "alice@shop.test\r\nBcc: b@x.test", "alice@shop.test, bob@shop.test", "a@\u2028ü"])
def test_an_address_that_is_none_is_refused(address: str, make_message: Any) -> None:
    with pytest.raises(ValueError, match=r"e-mail address|ASCII"):
        compose(make_message, Recipient(address))
