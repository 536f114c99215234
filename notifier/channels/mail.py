"""A message as an internet mail, for every provider that takes one whole. Pure: nothing is sent here.

What a template or a person's name holds can never become a header, a second recipient or a second mail.
"""

import re
from datetime import datetime
from email.headerregistry import Address, HeaderRegistry, UnstructuredHeader
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8, EmailPolicy
from email.utils import parseaddr
from typing import Any

import idna

from notifier.core.message import Message, Recipient

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
# The standard library loses the quotes around a name when it folds it, and `Doe, Jane <…>` would be two recipients.
_SPECIAL_IN_NAME = re.compile(r"[()<>@,:;\"\\\[\]]+")
_ADDRESS = re.compile(r"[^@\s<>]+@[^@\s<>]+")
_NOT_PLAIN = re.compile(r"[^\t\n\x20-\x7e]")
_LONGEST_LINE = 900  # SMTP allows 998


class _Verbatim:
    """A header that is written as it is. Folding would put a long URL into an encoded word, and no mail program reads it there."""

    name: str

    def fold(self, *, policy: EmailPolicy) -> str:
        return f"{self.name}: {self}{policy.linesep}"


_headers = HeaderRegistry()
_headers.map_to_type("list-unsubscribe", type("VerbatimHeader", (_Verbatim, UnstructuredHeader), {}))
_ASCII_POLICY = SMTP.clone(header_factory=_headers)
_UTF8_POLICY = SMTPUTF8.clone(header_factory=_headers)


def sender(text: str) -> Address:
    """`Notifier <notifier@example.com>` or a bare address. Raises ValueError without quoting it."""
    name, spec = parseaddr(_one_line(text))
    try:
        if needs_utf8(spec):
            raise ValueError
        return _mailbox(name, ascii_domain(spec))
    except ValueError:
        raise ValueError("it is no sender like Shop <shop@example.com>") from None


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


def compose(message: Message, to: Recipient, *, by: Address, at: datetime) -> EmailMessage:
    """`at` goes into Date. The Message-ID is the same on every try, so that a repeat can be recognised."""
    content = message.content
    address = ascii_domain(to.address)
    mail = EmailMessage(policy=_UTF8_POLICY if needs_utf8(address) else _ASCII_POLICY)
    mail["From"] = by
    mail["To"] = _mailbox(to.name or "", address)
    mail["Subject"] = _one_line(content.subject or content.title)
    mail["Date"] = at
    mail["Message-ID"] = f"<{message.delivery_id}@{by.domain}>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office replies, please
    if message.unsubscribe_url:
        mail["List-Unsubscribe"] = f"<{message.unsubscribe_url}>"
        mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    text = _encodable(content.body)
    mail.set_content(text, cte=_transfer_encoding(text))
    if content.html:
        html = _encodable(content.html)
        mail.add_alternative(html, subtype="html", cte=_transfer_encoding(html))
    return mail


def _mailbox(name: str, address: str) -> Address:
    """Raises ValueError. The standard library looks closely at ASCII addresses only; all were checked when they were stored."""
    if not _ADDRESS.fullmatch(address):
        raise ValueError("this is not an e-mail address")
    name = " ".join(_SPECIAL_IN_NAME.sub(" ", _one_line(name)).split())
    local, _, domain = address.rpartition("@")
    try:
        return Address(name, local, domain) if needs_utf8(address) else Address(name, addr_spec=address)
    except IndexError:  # what its parser raises for some broken ones
        raise ValueError("this is not an e-mail address") from None


def _transfer_encoding(text: str) -> str:
    """Never base64, which filters distrust and people cannot read, nor 8bit, which not every relay passes on."""
    is_plain = not _NOT_PLAIN.search(text) and all(len(line) <= _LONGEST_LINE for line in text.split("\n"))
    return "7bit" if is_plain else "quoted-printable"


def _one_line(text: str) -> str:
    return _CONTROL.sub(" ", _encodable(text)).strip()


def _encodable(text: str) -> str:
    """Without lone surrogates, which no encoding can write."""
    return text.encode("utf-8", "replace").decode()


def as_captured(mail: EmailMessage, to: Recipient, message: Message) -> dict[str, Any]:
    """The mail as the sandbox keeps it, headers as they would have gone out."""
    return {
        "to": to.address,
        "subject": str(mail["Subject"]),
        "text": message.content.body,
        "html": message.content.html,
        "payload": None,
        "headers": {name: str(value) for name, value in mail.items() if name.lower() not in ("content-type", "content-transfer-encoding", "mime-version")},
    }
