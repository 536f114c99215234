"""A message as an internet mail: what its headers say, and that nothing can be smuggled into them."""

import os
import re
from collections.abc import Callable
from datetime import UTC, datetime
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.policy import default
from email.utils import getaddresses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.channels.wire import mail
from notifier.core.message import Content, Recipient

AT = datetime(2026, 12, 1, 9, 0, tzinfo=UTC)
SENDER = mail.sender("Shop <orders@shop.test>")
UNSUBSCRIBE = "https://notifier.test/u/" + "eyJ1IjoiYWxpY2UifQ.Z" * 20

GOLDEN = Path(__file__).parent / "golden"

SCRIPTS = (
    "Ihre Bestellung A123 für Jürgen Weiß",
    "Ваш заказ уже в пути, спасибо",
    "Η παραγγελία σας είναι καθ' οδόν",
    "ההזמנה שלך יצאה לדרך",
    "طلبك في الطريق إليك",
    "आपका ऑर्डर रास्ते में है",
    "คำสั่งซื้อของคุณกำลังมา",
    "您的訂單正在路上",
    "ご注文の商品を発送しました",
    "주문하신 상품이 배송 중입니다",
    "👩‍👩‍👧 🇩🇪 ❤️ 🎉",
    "e\u0301\u0308\u0301 a\u0308\u0323 i\u0307",
    "\u202eevil\u202c \u200fa\u200e \ufeffb\u00a0c",
    'Order "A123", due (soon); <now> \\ [x]: a@b.test =? ?= _',
    "=?utf-8?q?Hi=0AReply-To=3A_x=40x.test?=",
    "=?utf-8?b?SGkKQmNjOiB4QHgudGVzdA==?= =?iso-8859-1?q?=A9?=",
    "\r\nBcc: mallory@evil.test\r\n\r\nA body\x00\x1b[0m",
)
words = st.one_of(
    st.sampled_from(SCRIPTS),
    st.lists(st.sampled_from([*" ".join(SCRIPTS).split(" "), ""]), max_size=25).map(" ".join),
    st.lists(st.sampled_from(sorted(set("".join(SCRIPTS)))), max_size=120).map("".join),
)
nasty = st.text(st.sampled_from('aß€,:;<>@"\\()[]. \r\n\t\x00\x85\u2028=?_😀\ud800') | st.characters(), max_size=120)


def compose(
    make_message: Callable[..., Any],
    to: Recipient = Recipient("alice@shop.test"),  # noqa: B008
    **changes: Any,
) -> tuple[bytes, EmailMessage]:
    raw = mail.compose(make_message(**changes), to, by=SENDER, at=AT).raw
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
    """Folded, the standard library would put the long URL into an encoded word,
    which no mail program takes for a URL.
    """
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
    raw, parsed = compose(
        make_message, Recipient(address), content=Content(title="Hello", body=text, html=f"<p>{text}</p>")
    )
    assert [part["Content-Transfer-Encoding"] for part in parsed.walk() if not part.is_multipart()] == [
        encoding,
        encoding,
    ]
    assert raw.partition(b"\r\n\r\n")[2].isascii()


def test_a_text_survives_the_journey(make_message: Any) -> None:
    text = "Grüße aus München,\n\n.\n..\nFrom here on = 5 € \n"
    _, parsed = compose(make_message, content=Content(title="Grüße " * 40, body=text, html=f"<p>{text}</p>"))
    plain, html = parsed.get_body(("plain",)), parsed.get_body(("html",))
    assert plain is not None
    assert html is not None
    assert (parsed["Subject"], plain.get_content().replace("\r\n", "\n")) == (("Grüße " * 40).strip(), text)
    assert html.get_content().replace("\r\n", "\n").rstrip("\n") == f"<p>{text}</p>"


@given(
    name=nasty, subject=nasty, body=nasty, html=nasty, address=st.sampled_from(["alice@shop.test", "büro@shop.test"])
)
def test_nothing_can_be_smuggled_into_a_mail(
    name: str, subject: str, body: str, html: str, address: str, make_message: Any
) -> None:
    content = Content(title="Title", subject=subject, body=body, html=html)
    raw, parsed = compose(make_message, Recipient(address, name=name), content=content, unsubscribe_url=UNSUBSCRIBE)
    names = [
        "From",
        "To",
        "Subject",
        "Date",
        "Message-ID",
        "Auto-Submitted",
        "List-Unsubscribe",
        "List-Unsubscribe-Post",
    ]
    assert [key for key in parsed if not key.startswith("Content-") and key != "MIME-Version"] == names
    assert [found for _, found in getaddresses([str(parsed["To"])])] == [address]
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n", raw)
    assert max(len(line) for line in raw.split(b"\r\n")) <= 998


def plain(text: str) -> str:
    """As one line: what a header can say of it."""
    return re.sub(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+", " ", text).strip(" ")


def decoded(raw: str) -> str:
    """A header as the older half of the standard library reads it, and with it most programs:
    unfolded, then decoded.
    """
    return str(make_header(decode_header(re.sub(r"\r\n(?=[ \t])", "", raw))))


@pytest.mark.slow
@given(name=words, subject=words)
def test_subject_and_names_are_read_as_they_were_written(name: str, subject: str, make_message: Any) -> None:
    content = Content(title="Title", subject=subject, body="Hello")
    raw, parsed = compose(make_message, Recipient("alice@shop.test", name=name), content=content)
    old = message_from_bytes(raw)
    expected = plain(subject) or "Title"
    assert (parsed["Subject"], decoded(old["Subject"])) == (expected, expected)
    [(shown, address)] = getaddresses([re.sub(r"\r\n(?=[ \t])", "", old["To"])])
    # In names that have to be encoded, commas and their like are left out: programs that decode first would
    # see two recipients.
    kept = {plain(name), plain(re.sub(r"[()<>@,:;\"\\\[\] ]+", " ", plain(name)))}
    assert (address, decoded(shown) in kept) == ("alice@shop.test", True)
    assert [found for _, found in getaddresses([decoded(old["To"])])] == ["alice@shop.test"]
    [address] = parsed[
        "To"
    ].addresses  # whose names get more spaces than were written: that half of the library cannot help it
    assert (address.addr_spec, "".join(address.display_name.split())) in {
        ("alice@shop.test", "".join(one.split())) for one in kept
    } or "=?" in name


@given(name=words, subject=words)
def test_encoded_words_are_short_whole_and_apart(name: str, subject: str, make_message: Any) -> None:
    """RFC 2047, sections 2 and 5."""
    raw, _ = compose(
        make_message,
        Recipient("alice@shop.test", name=name),
        content=Content(title="Title", subject=subject, body="Hello"),
    )
    head = raw.partition(b"\r\n\r\n")[0].decode("ascii")
    for line in head.split("\r\n"):
        for word in re.findall(r"=\?\S*", line):
            assert re.fullmatch(r"=\?utf-8\?(q\?[A-Za-z0-9!*+/=_-]+|b\?[A-Za-z0-9+/]+=*)\?=", word)
            assert (len(word) <= 75, len(line) <= 76) == (True, True)
            assert re.search(rf"(?:^|\s){re.escape(word)}(?:\s|$)", line)
            [(encoded, _)] = decode_header(word)
            encoded.decode()  # no character is cut in two


def test_plain_words_stay_plain_and_names_with_commas_are_quoted(make_message: Any) -> None:
    content = Content(
        title="T", subject='Order A123 is on its way (due "soon"), and so on, as far as it goes, and on', body="Hello"
    )
    raw, _ = compose(make_message, Recipient("alice@shop.test", name='Doe, Jane "J"'), content=content)
    assert b'\r\nTo: "Doe, Jane \\"J\\"" <alice@shop.test>\r\n' in raw
    assert b'\r\nSubject: Order A123 is on its way (due "soon"), and so on, as far as it\r\n goes, and on\r\n' in raw


def test_an_encoded_subject_is_cut_between_words(make_message: Any) -> None:
    """Where somebody's program shows a space too many, it does so where there is one."""
    raw, _ = compose(
        make_message, content=Content(title="T", subject="Η παραγγελία σας είναι καθ' οδόν προς εσάς", body="Hello")
    )
    subject = raw.decode().partition("\r\nSubject: ")[2].partition("\r\nDate: ")[0]
    assert [decode_header(word)[0][0].decode() for word in subject.split("\r\n ")] == [
        "Η παραγγελία σας ",
        "είναι καθ' οδόν προς ",
        "εσάς",
    ]


@pytest.mark.parametrize(
    ("name", "to", "content", "unsubscribe"),
    [
        (
            "plain",
            Recipient("alice@shop.test", name="Alice"),
            Content(title="Hello", body="Your code is 123456."),
            None,
        ),
        (
            "encoded",
            Recipient("alice@shop.test", name="Zoë Müller, PhD"),
            Content(
                title="Größe",
                subject="Ваш заказ уже в пути и будет у вас завтра",
                body="Grüße,\n\n.\n=_\n",
                html="<p>Grüße &middot; =_</p>",
            ),
            UNSUBSCRIBE,
        ),
        (
            "hostile",
            Recipient("alice@shop.test", name="=?utf-8?q?x=2C_y=40y.test?="),
            Content(
                title="T",
                subject="=?utf-8?q?Hi=0AReply-To=3A_x=40x.test?=",
                body="--=_dlv_01930000000070008000000000000001--\n",
                html="<p>x</p>",
            ),
            None,
        ),
    ],
)
def test_a_mail_leaves_as_it_did(
    name: str, to: Recipient, content: Content, unsubscribe: str | None, make_message: Any
) -> None:
    """After a change that is meant: `WRITE_GOLDEN=1 .venv/bin/python -m pytest tests/channels/wire/test_mail.py`, then
    read the diff.
    """
    raw, _ = compose(make_message, to, content=content, unsubscribe_url=unsubscribe)
    path = GOLDEN / f"{name}.eml"
    if os.environ.get("WRITE_GOLDEN"):
        path.write_bytes(raw.replace(b"\r\n", b"\n"))
    assert raw.replace(b"\r\n", b"\n") == path.read_bytes()


@given(text=st.one_of(words, nasty), html=nasty)
def test_every_text_survives_the_journey(text: str, html: str, make_message: Any) -> None:
    _, parsed = compose(make_message, content=Content(title="T", body=text, html=f"<p>{html}</p>"))
    for kind, written in (("plain", text), ("html", f"<p>{html}</p>")):
        part = parsed.get_body((kind,))
        assert part is not None
        lines = re.sub(r"\r\n?", "\n", written.encode("utf-8", "replace").decode())
        assert part.get_payload(decode=True).decode().replace("\r\n", "\n").removesuffix("\n") == lines.removesuffix(
            "\n"
        )


@pytest.mark.parametrize(
    "name",
    [
        "Doe, Jane",
        'x" <mallory@evil.test>, "',
        "Müller, Bcc: mallory@evil.test " * 5,
        "a\r\nBcc: mallory@evil.test",
        "(",
        "\\",
        "@",
    ],
)
@pytest.mark.parametrize("address", ["alice@shop.test", "büro@shop.test"])
def test_a_name_cannot_become_a_second_recipient(name: str, address: str, make_message: Any) -> None:
    _, parsed = compose(make_message, Recipient(address, name=name))
    assert ([found for _, found in getaddresses([str(parsed["To"])])], parsed["Bcc"]) == ([address], None)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("a@x.test", "a@x.test"),
        ("büro@münchen.test", "büro@xn--mnchen-3ya.test"),
        ("a@BÜCHER.test", "a@xn--bcher-kva.test"),
    ],
)
def test_a_domain_is_written_in_ascii(given: str, expected: str) -> None:
    assert mail.ascii_domain(given) == expected


@pytest.mark.parametrize(
    "address",
    ["", "alice", "alice@", "alice@shop.test\r\nBcc: b@x.test", "alice@shop.test, bob@shop.test", "a@\u2028ü"],
)
def test_an_address_that_is_none_is_refused(address: str, make_message: Any) -> None:
    with pytest.raises(ValueError, match=r"e-mail address|ASCII"):
        compose(make_message, Recipient(address))
