"""The URL of a server and its parts: nothing is lost on the way there and back."""

import pytest

from notifier.channels.wire.server_url import ServerParts, ServerUrl

MAIL = ServerUrl({"smtp": "STARTTLS when offered", "smtps": "TLS from the start"})


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("smtp://mail.example.com", ServerParts("smtp", "mail.example.com")),
        ("smtps://mail.example.com:465", ServerParts("smtps", "mail.example.com", "465")),
        ("smtp://a%40b:p%2Fw%3A%23@mail:25", ServerParts("smtp", "mail", "25", "a@b", "p/w:#")),
        ("smtp://user@[2001:db8::1]:25", ServerParts("smtp", "2001:db8::1", "25", "user")),
        ("smtp://%C3%BC:%F0%9F%98%80@mail", ServerParts("smtp", "mail", "", "ü", "😀")),
    ],
)
def test_a_url_and_its_parts_say_the_same(url: str, parts: ServerParts) -> None:
    assert MAIL.split(url) == parts
    assert MAIL.join(parts) == url


@pytest.mark.parametrize("url", ["", "http://mail", "smtp://", "smtp://mail/path", "smtp://mail?x=1", "smtp://mail:x"])
def test_what_the_fields_could_not_hold_is_not_taken_apart(url: str) -> None:
    assert MAIL.split(url) is None


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (ServerParts("smtp", ""), "The host"),
        (ServerParts("smtp", "user:secret@mail"), "The host"),
        (ServerParts("smtp", "mail/x"), "The host"),
        (ServerParts("smtp", "mail.example.com:587"), "The host"),
        (ServerParts("smtp", "mail", "0"), "The port"),
        (ServerParts("smtp", "mail", "²"), "The port"),
        (ServerParts("smtp", "mail", "", "", "secret"), "A password"),
    ],
)
def test_what_is_no_server_is_refused_and_quotes_no_password(parts: ServerParts, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        MAIL.join(parts)
    assert "secret" not in str(caught.value)
