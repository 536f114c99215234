"""Writes a message as an internet mail, or as the parts of one for providers that write it themselves. Pure: nothing is
sent here.

Written by hand after RFC 5322, 2045 and 2047, since Python's `email` decodes encoded words in the values it is given,
line breaks included, and loses spaces between the ones it writes. Nothing in a template or a person's name can become a
header, a second recipient or a second mail.
"""

import binascii
import functools
import re
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime, parseaddr
from typing import Any
from urllib.parse import quote, urlsplit

import idna

from notifier.core.message import Message, Recipient
from notifier.ground.config import Settings

_SPACE = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+")  # and every control character
_PLAIN = re.compile(r"[\x20-\x7e]*")
_NOT_PLAIN_TEXT = re.compile(r"[^\t\n\x20-\x7e]")
_LINE_END = re.compile(r"\r\n?")
_NOT_IN_URI = re.compile(r"[^!#-;=?-Z\[\]_a-z~]+")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*")  # what a name may hold outside of quotes
# Many programs decode a header before they look for its commas, so in an encoded name there are none.
_SPECIAL_IN_NAME = re.compile(r"[()<>@,:;\"\\\[\] ]+")
_LOCAL = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\U0010ffff-]+"
_ADDRESS = re.compile(rf"{_LOCAL}(?:\.{_LOCAL})*@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
_ENCODED_WORD = "=?"  # how one begins; no text of ours may look like one

_LONGEST_LINE = 76  # RFC 2047: of a header with encoded words
_LONGEST_WORD = 65  # RFC 2047 allows 75; so it stands on one line with the longest name of a header
_LONGEST_PLAIN_NAME = 60  # longer ones are encoded, since quotes cannot be folded
_WORD = "=?utf-8?{}?{}?="
_ROOM = _LONGEST_WORD - len(_WORD.format("q", ""))
_AS_IT_IS = f"{string.ascii_letters}{string.digits}!*+-/ ".encode()  # in a Q-word, also in a name
_NOT_AS_IT_IS = re.compile(b"[^%s]" % re.escape(_AS_IT_IS))
_LONGEST_TEXT_LINE = 900  # of a 7bit part; SMTP allows 998


@dataclass(frozen=True, slots=True)
class Mailbox:
    """An address with the name to show, `""` for none. Both are checked: see `sender`."""

    name: str
    address: str

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]

    @property
    def plain_name(self) -> str:
        """The name without what has a meaning in a header: some providers' JSON ends up there without quotes."""
        return _SPECIAL_IN_NAME.sub(" ", self.name).strip(" ")

    def __str__(self) -> str:
        return f"{_quoted(self.name)} <{self.address}>" if self.name else self.address


@dataclass(frozen=True, slots=True)
class Mail:
    """What `compose` makes. `others`: the headers beside From, To and Subject; a value holds ASCII only."""

    delivery_id: str
    by: Mailbox
    to: Mailbox
    subject: str
    others: dict[str, str]
    text: str
    html: str | None

    @property
    def message_id(self) -> str:
        return self.others["Message-ID"]

    @property
    def headers(self) -> dict[str, str]:
        """Those of its own, as people read them."""
        return {"From": str(self.by), "To": str(self.to), "Subject": self.subject, **self.others}

    @property
    def given_headers(self) -> dict[str, str]:
        """For providers that write the mail themselves: what they would not write, or would write otherwise."""
        return {name: value for name, value in self.others.items() if name != "Date"}

    @property
    def raw(self) -> bytes:
        """The mail as it goes out."""
        lines = [
            _folded("From", _written(self.by)),
            _folded("To", _written(self.to)),
            _folded("Subject", _text(self.subject)),
            *(f"{name}: {value}" for name, value in self.others.items()),  # folded, some programs lose a link
            "MIME-Version: 1.0",
        ]
        return "\r\n".join(lines).encode() + b"\r\n" + _body(self.delivery_id, self.text, self.html)


def sender(text: str) -> Mailbox:
    """`Notifier <notifier@example.com>` or a bare address. Raises ValueError without quoting it."""
    name, address = parseaddr(_one_line(text))
    try:
        if needs_utf8(address):
            raise ValueError
        return _mailbox(name, ascii_domain(address))
    except ValueError:
        raise ValueError("it is not a sender like Shop <shop@example.com>") from None


def sender_here(settings: Settings) -> str:
    """The sender where a provider is given none: `notifier@` and the host of PUBLIC_URL."""
    host = urlsplit(settings.public_url).hostname or "localhost"
    return f"Notifier <notifier@{'localhost' if ':' in host else host}>"  # no IPv6 address can stand after an @


def ascii_domain(address: str) -> str:
    """`büro@münchen.test` → `büro@xn--mnchen-3ya.test`: every mail server takes that domain."""
    local, at, domain = address.rpartition("@")
    if domain.isascii():
        return address
    try:
        return f"{local}{at}{idna.encode(domain, uts46=True).decode()}"
    except idna.IDNAError:
        raise ValueError("the domain cannot be written in ASCII") from None


def needs_utf8(address: str) -> bool:
    """Is the part before the @ not ASCII, so that the mail server has to know SMTPUTF8 (RFC 6531)?"""
    return not address.rpartition("@")[0].isascii()


def compose(message: Message, to: Recipient, *, by: Mailbox, at: datetime) -> Mail:
    """`at` goes into Date. The Message-ID is the same on every try, so that a repeat can be recognised.

    Raises ValueError: `to` is no address.
    """
    content = message.content
    others = {
        "Date": _date(at.replace(microsecond=0)),
        "Message-ID": f"<{message.delivery_id}@{by.domain}>",
        "Auto-Submitted": "auto-generated",  # RFC 3834: no out-of-office replies, please
    }
    if message.unsubscribe_url:
        others |= {
            "List-Unsubscribe": f"<{_NOT_IN_URI.sub(_percent, message.unsubscribe_url)}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        }
    return Mail(
        message.delivery_id,
        by,
        _mailbox(to.name or "", ascii_domain(to.address)),
        _one_line(content.subject or "") or _one_line(content.title),
        others,
        content.body,
        content.html,
    )


@functools.lru_cache(maxsize=8)
def _date(second: datetime) -> str:
    """The mails of a batch share a few seconds."""
    return format_datetime(second)


# ---- headers --------------------------------------------------------------------------------------------------------


def _folded(name: str, pieces: Sequence[str]) -> str:
    """A header of pieces with a space between, in lines of _LONGEST_LINE, or as long as a piece is."""
    lines, line = [], f"{name}:"
    for index, piece in enumerate(pieces):
        if index and len(line) + 1 + len(piece) > _LONGEST_LINE:
            lines.append(line)
            line = ""
        line += f" {piece}"
    return "\r\n".join([*lines, line])


def _text(text: str) -> list[str]:
    """Unstructured text. Encoded as a whole or not at all: of spaces between the two kinds, programs lose some."""
    if not _is_plain(text):
        return list(_encoded(text))
    return text.split(" ")


def _written(mailbox: Mailbox) -> list[str]:
    """A name is written as atoms, in quotes, or encoded; see _SPECIAL_IN_NAME."""
    if not mailbox.name:
        return [mailbox.address]
    is_plain = _is_plain(mailbox.name, _LONGEST_PLAIN_NAME)
    return [*([_quoted(mailbox.name)] if is_plain else _encoded(mailbox.name)), f"<{mailbox.address}>"]


def _quoted(name: str) -> str:
    if _ATOMS.fullmatch(name) or not name.isascii():
        return name
    return '"{}"'.format(re.sub(r'(["\\])', r"\\\1", name))


def _is_plain(text: str, longest: int | None = None) -> bool:
    is_short = max(map(len, text.split(" "))) <= _LONGEST_WORD and (longest is None or len(text) <= longest)
    return is_short and bool(_PLAIN.fullmatch(text)) and _ENCODED_WORD not in text


def _encoded(text: str) -> Iterator[str]:
    """RFC 2047: encoded words of whole characters, cut behind spaces if possible: some programs show another one there.

    Spaces are inside of them: those between encoded words do not count.
    """
    raw = text.encode()
    is_q = _q_length(raw) <= len(raw) * 4 / 3
    length = _q_length if is_q else len
    room = _ROOM if is_q else _ROOM // 4 * 3
    held, used = b"", 0
    for word in re.findall(r"[^ ]+ ?", text):
        for piece in [word] if length(word.encode()) <= room else word:
            encoded = piece.encode()
            cost = length(encoded)
            if used + cost > room:
                yield _encoded_word(held, is_q=is_q)
                held, used = b"", 0
            held += encoded
            used += cost
    if held:
        yield _encoded_word(held, is_q=is_q)


def _q_length(raw: bytes) -> int:
    """Of these bytes in a Q-word."""
    return len(raw) + 2 * len(raw.translate(None, _AS_IT_IS))


def _encoded_word(raw: bytes, *, is_q: bool) -> str:
    if not is_q:
        return _WORD.format("b", binascii.b2a_base64(raw, newline=False).decode())
    quoted = _NOT_AS_IT_IS.sub(lambda match: b"=%02X" % ord(match.group()), raw)
    return _WORD.format("q", quoted.decode().replace(" ", "_"))


def _mailbox(name: str, address: str) -> Mailbox:
    """Raises ValueError. Addresses were checked when they were stored; this keeps out what would be more than one."""
    if not _ADDRESS.fullmatch(address) or _ENCODED_WORD in address or address != _one_line(address):
        raise ValueError("this is not an e-mail address")
    name = _one_line(name)
    if not _is_plain(name, _LONGEST_PLAIN_NAME):
        name = _SPECIAL_IN_NAME.sub(" ", name).strip(" ")
    return Mailbox(name, address)


def _percent(match: re.Match[str]) -> str:
    return quote(match.group(), errors="replace")


def _one_line(text: str) -> str:
    return _SPACE.sub(" ", _encodable(text)).strip(" ")


def _encodable(text: str) -> str:
    """Without lone surrogates, which no encoding can write."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


# ---- parts ----------------------------------------------------------------------------------------------------------


def _body(delivery_id: str, text: str, html: str | None) -> bytes:
    """From the first header about content to the end.

    The boundary holds `=_`, which is in no quoted-printable text, and in no 7bit one (_part).
    """
    plain = _part("plain", text)
    if not html:
        return plain
    boundary = f"=_{delivery_id}"
    between = f"\r\n--{boundary}\r\n".encode()
    head = f'Content-Type: multipart/alternative; boundary="{boundary}"\r\n'.encode()
    return b"".join([head, between, plain, between, _part("html", html), f"\r\n--{boundary}--\r\n".encode()])


def _part(subtype: str, text: str) -> bytes:
    """7bit or quoted-printable: never base64, which filters distrust and people cannot read, nor 8bit, which not every
    relay passes on.
    """
    text = _LINE_END.sub("\n", _encodable(text))
    if not text.endswith("\n"):
        text += "\n"
    if text.isascii() and "=_" not in text and not _NOT_PLAIN_TEXT.search(text) and _is_short(text):
        encoding, body = "7bit", text.encode()
    else:
        encoding, body = "quoted-printable", binascii.b2a_qp(text.encode(), istext=True)
    head = f'Content-Type: text/{subtype}; charset="utf-8"\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n'
    return head.encode() + body.replace(b"\n", b"\r\n")


def _is_short(text: str) -> bool:
    return max(map(len, text.split("\n"))) <= _LONGEST_TEXT_LINE


def as_captured(mail: Mail, to: Recipient, message: Message) -> dict[str, Any]:
    """The mail as the sandbox keeps it."""
    return {
        "to": to.address,
        "subject": mail.headers["Subject"],
        "text": message.content.body,
        "html": message.content.html,
        "payload": None,
        "headers": mail.headers,
    }
