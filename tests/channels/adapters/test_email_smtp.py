"""E-mail over SMTP, against a real mail server."""

import asyncio
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

import pytest

from notifier.channels.adapters.email_smtp import EmailSmtp
from notifier.channels.wire.http import Http
from notifier.channels.wire.smtp import explain_reply
from notifier.core.errors import DeliveryError, InvalidRecipient, Misconfigured, Permanent, Retryable
from notifier.core.message import Recipient
from notifier.core.networks import parse as parse_networks
from tests.channels.wire.test_mail import SCRIPTS, plain

ALICE = Recipient("alice@shop.test", name="Alice")
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")

WRONG_PASSWORD = "wr0ng-passw0rd"

MakeAdapter = Callable[..., EmailSmtp]


@pytest.fixture
def make_adapter(http: Http) -> Iterator[MakeAdapter]:
    made: list[EmailSmtp] = []

    def make(url: str, http: Http = http, **settings: str) -> EmailSmtp:
        made.append(EmailSmtp({"SMTP_URL": url, "SMTP_FROM": "Shop <orders@shop.test>", **settings}, http))
        return made[-1]

    yield make
    for adapter in made:
        adapter.close()


def parsed(raw: bytes) -> EmailMessage:
    mail = message_from_bytes(raw, policy=default)
    assert isinstance(mail, EmailMessage)
    return mail


def failure(adapter: EmailSmtp, message: Any, to: Recipient = ALICE) -> tuple[type[DeliveryError], str, bool]:
    with pytest.raises(DeliveryError) as caught:
        adapter.send(message, to)
    return type(caught.value), caught.value.code, getattr(caught.value, "ambiguous", False)


def test_a_mail_arrives_with_its_envelope_and_both_parts(
    start_mail: Any, make_adapter: MakeAdapter, make_message: Any
) -> None:
    server = start_mail()
    receipt = make_adapter(server.url()).send(make_message(), ALICE)
    [arrived] = server.inbox.mails
    mail = parsed(arrived.raw)
    assert (arrived.sender, arrived.to) == ("orders@shop.test", ["alice@shop.test"])
    assert (mail["From"], mail["To"], mail["Subject"]) == (
        "Shop <orders@shop.test>",
        "Alice <alice@shop.test>",
        "Order A123",
    )
    assert [part.get_content_type() for part in mail.walk()] == ["multipart/alternative", "text/plain", "text/html"]
    assert mail["Message-ID"] == receipt.provider_message_id == "<dlv_01930000000070008000000000000001@shop.test>"
    assert receipt.status == "sent"


@pytest.mark.parametrize("text", SCRIPTS)
def test_a_mail_server_gets_every_script_and_nothing_more(
    text: str, start_mail: Any, make_adapter: MakeAdapter, make_message: Any
) -> None:
    server = start_mail()
    content = make_message().content
    make_adapter(server.url()).send(
        make_message(content=replace(content, subject=text, body=text)), Recipient("alice@shop.test", name=text)
    )
    [arrived] = server.inbox.mails
    mail = parsed(arrived.raw)
    assert (arrived.to, mail["Subject"]) == (["alice@shop.test"], plain(text))
    assert list(mail) == [
        "From",
        "To",
        "Subject",
        "Date",
        "Message-ID",
        "Auto-Submitted",
        "MIME-Version",
        "Content-Type",
    ]


def test_a_text_without_html_is_a_mail_of_one_part(
    start_mail: Any, make_adapter: MakeAdapter, make_message: Any
) -> None:
    server = start_mail()
    content = make_message().content
    make_adapter(server.url()).send(make_message(content=type(content)(title="Hello", body=".\n..dots\n")), ALICE)
    mail = parsed(server.inbox.mails[0].raw)
    assert (mail.get_content_type(), mail["Subject"], mail.get_content()) == ("text/plain", "Hello", ".\r\n..dots\r\n")


def test_starttls_is_used_when_offered(
    start_mail: Any, make_adapter: MakeAdapter, make_message: Any, authority: Any
) -> None:
    server = start_mail(tls_context=authority.server(), require_starttls=True)
    make_adapter(server.url()).send(make_message(), ALICE)
    assert server.inbox.mails[0].is_encrypted


def test_smtps_is_encrypted_from_the_start(
    start_mail: Any, make_adapter: MakeAdapter, make_message: Any, authority: Any
) -> None:
    server = start_mail(ssl_context=authority.server())
    make_adapter(server.url("smtps")).send(make_message(), ALICE)
    assert len(server.inbox.mails) == 1


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_a_certificate_of_an_unknown_authority_is_our_misconfiguration(
    scheme: str, start_mail: Any, make_adapter: MakeAdapter, make_message: Any, authority: Any
) -> None:
    options = (
        {"tls_context": authority.server(), "require_starttls": True}
        if scheme == "smtp"
        else {"ssl_context": authority.server()}
    )
    server = start_mail(**options)
    assert failure(make_adapter(server.url(scheme), Http()), make_message()) == (
        Misconfigured,
        "tls_certificate",
        False,
    )
    assert server.inbox.mails == []


def test_a_certificate_for_another_name_is_our_misconfiguration(
    start_mail: Any, make_adapter: MakeAdapter, make_message: Any, authority: Any
) -> None:
    server = start_mail(tls_context=authority.server_for("mail.test"), require_starttls=True)
    assert failure(make_adapter(server.url()), make_message()) == (Misconfigured, "tls_certificate", False)


def test_it_signs_in_over_tls(start_mail: Any, make_adapter: MakeAdapter, make_message: Any, authority: Any) -> None:
    server = start_mail(needs_login=True, tls_context=authority.server(), require_starttls=True)
    make_adapter(server.url(user="notifier")).send(make_message(), ALICE)
    assert server.inbox.mails[0].login == "notifier"


def test_it_signs_in_without_tls_on_this_machine(start_mail: Any, make_adapter: MakeAdapter, make_message: Any) -> None:
    server = start_mail(needs_login=True)
    make_adapter(server.url(user="notifier")).send(make_message(), ALICE)
    assert server.inbox.mails[0].login == "notifier"


def test_a_password_is_not_sent_in_the_clear_over_a_network(
    start_mail: Any, make_adapter: MakeAdapter, make_message: Any
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: it only asks which address of ours would be used
        except OSError:
            pytest.skip("this machine has no network")
        host = probe.getsockname()[0]
    server = start_mail(host, needs_login=True)
    assert failure(make_adapter(server.url(user="notifier", host=host)), make_message()) == (
        Misconfigured,
        "no_tls",
        False,
    )


def test_a_wrong_password_is_our_misconfiguration(
    start_mail: Any, make_adapter: MakeAdapter, make_message: Any
) -> None:
    server = start_mail(needs_login=True)
    assert failure(make_adapter(server.url(user="notifier", password=WRONG_PASSWORD)), make_message()) == (
        Misconfigured,
        "535",
        False,
    )


def test_a_server_that_wants_a_password_we_have_none_for_is_our_misconfiguration(
    start_mail: Any, make_adapter: MakeAdapter, make_message: Any
) -> None:
    server = start_mail(needs_login=True)
    assert failure(make_adapter(server.url()), make_message()) == (Misconfigured, "5.7.0", False)


def test_a_server_without_sign_in_is_our_misconfiguration(
    start_mail: Any, make_adapter: MakeAdapter, make_message: Any
) -> None:
    assert failure(make_adapter(start_mail().url(user="notifier")), make_message()) == (Misconfigured, "no_auth", False)


def test_a_password_that_smtp_cannot_write_is_our_misconfiguration(
    start_mail: Any, make_adapter: MakeAdapter, make_message: Any
) -> None:
    server = start_mail(needs_login=True)
    assert failure(make_adapter(server.url(user="notifier", password="pässword")), make_message()) == (
        Misconfigured,
        "no_auth",
        False,
    )


PIPELINES = pytest.mark.parametrize("extensions", [(), ("PIPELINING",)])


@PIPELINES
# What a reply means to MAIL FROM, to RCPT TO and to the data. `P M R I`: permanent, our misconfiguration, retryable,
# invalid recipient; small `m`: perhaps our misconfiguration, perhaps this recipient's server's own rule.
@pytest.mark.parametrize(
    ("reply", "meanings", "code"),
    [
        ("450 4.2.1 later", "RRR", "4.2.1"),
        ("451 greylisted", "RRR", "451"),
        ("452 4.3.1 full", "RRR", "4.3.1"),
        ("450 4.7.1 sender not known yet", "RRR", "4.7.1"),
        ("530 5.7.0 authenticate first", "MMM", "5.7.0"),
        ("535 no", "MMM", "535"),
        ("550 5.7.8 credentials", "MmM", "5.7.8"),
        ("550 5.1.0 sender rejected", "Mmm", "5.1.0"),
        ("553 5.1.7 bad sender syntax", "Mmm", "5.1.7"),
        ("550 5.1.8 bad sender", "Mmm", "5.1.8"),
        ("550 5.1.1 no such user", "MII", "5.1.1"),
        ("550 5.1.2 no such host", "MII", "5.1.2"),
        ("553 5.1.3 bad syntax", "MII", "5.1.3"),
        ("550 5.1.4 ambiguous", "MPP", "5.1.4"),
        ("551 5.1.6 moved", "MII", "5.1.6"),
        ("550 5.1.9 relayed to a server that does not comply", "MPP", "5.1.9"),
        ("550 5.1.10 null MX", "MII", "5.1.10"),
        ("554 5.1.1 by another code", "MPP", "5.1.1"),
        ("552 5.2.2 mailbox full", "MPP", "5.2.2"),
        ("552 5.3.4 too big", "PPP", "5.3.4"),
        ("550 5.6.7 needs ASCII", "PPP", "5.6.7"),
        ("555 5.5.4 options", "PPP", "5.5.4"),
        ("550 5.7.1 spam", "MmP", "5.7.1"),
        ("554 5.7.1 relay access denied", "MmP", "5.7.1"),
        ("550 5.7.23 SPF", "Mmm", "5.7.23"),
        ("550 5.7.26 unauthenticated mail", "Mmm", "5.7.26"),
        ("550 5.7.54 unable to relay", "MmP", "5.7.54"),
        ("550 no such user, in English only", "MPP", "550"),
        ("554 transaction failed", "MPP", "554"),
    ],
)
def test_each_reply_means_one_thing(
    reply: str,
    meanings: str,
    code: str,
    extensions: tuple[str, ...],
    start_mail: Any,
    make_adapter: MakeAdapter,
    make_message: Any,
) -> None:
    server = start_mail(extensions=extensions)
    adapter = make_adapter(server.url())
    for command, meaning in zip(("MAIL", "RCPT", "DATA"), meanings, strict=True):
        server.inbox.replies = {command: reply}
        with pytest.raises(DeliveryError) as caught:
            adapter.send(make_message(), ALICE)
        family = {"P": Permanent, "M": Misconfigured, "R": Retryable, "I": InvalidRecipient}[meaning.upper()]
        assert (command, type(caught.value), caught.value.code) == (command, family, code)
        assert getattr(caught.value, "is_certain", True) is meaning.isupper()


def test_a_reply_that_is_no_smtp_is_not_taken_for_a_refusal() -> None:
    assert isinstance(explain_reply("RCPT", 700, b"what?"), Retryable)


def test_what_the_server_says_is_quoted_on_one_short_line() -> None:
    error = explain_reply("RCPT", 550, b"5.7.1 no\r\n\x1b[31mX-Evil: yes \xff" + b"x" * 1000)
    assert str(error).isprintable()
    assert len(str(error)) < 400


def test_silence_after_the_data_is_ambiguous(
    start_mail: Any, make_adapter: MakeAdapter, make_message: Any, authority: Any
) -> None:
    server = start_mail()
    server.inbox.replies["DATA"] = lambda _: asyncio.sleep(30)
    impatient = Http(tls=authority.trusted(), read_s=0.1)
    assert failure(make_adapter(server.url(), impatient), make_message()) == (Retryable, "timeout", True)


def test_hanging_up_after_the_data_is_ambiguous(start_mail: Any, make_adapter: MakeAdapter, make_message: Any) -> None:
    server = start_mail()
    server.inbox.replies["DATA"] = lambda connection: connection.transport.abort()
    assert failure(make_adapter(server.url()), make_message()) == (Retryable, "disconnected", True)


@PIPELINES
@pytest.mark.parametrize("command", ["MAIL", "RCPT"])
def test_hanging_up_before_the_data_is_not_ambiguous(
    command: str, extensions: tuple[str, ...], start_mail: Any, make_adapter: MakeAdapter, make_message: Any
) -> None:
    server = start_mail(extensions=extensions)
    server.inbox.replies[command] = lambda connection: connection.transport.abort()
    assert failure(make_adapter(server.url()), make_message()) == (Retryable, "disconnected", False)


def test_a_server_that_is_away_is_tried_again(make_adapter: MakeAdapter, make_message: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but not listening
        assert failure(make_adapter(f"smtp://127.0.0.1:{taken.getsockname()[1]}"), make_message()) == (
            Retryable,
            "connect_failed",
            False,
        )


def said_by(adapter: EmailSmtp) -> str:
    with pytest.raises(DeliveryError) as caught:
        adapter.try_out()
    return str(caught.value)


def test_a_connection_that_is_tried_says_in_words_what_is_wrong(start_mail: Any, authority: Any, http: Http) -> None:
    shut = socket.create_server(("127.0.0.1", 0))
    at = f"smtp://127.0.0.1:{shut.getsockname()[1]}"
    shut.close()
    signing_in = start_mail(needs_login=True)
    with_tls = start_mail(tls_context=authority.server(), require_starttls=True)
    trusting_nobody = Http(parse_networks(["127.0.0.0/8"]))
    faults = [
        (at, http, "the mail server refuses connections on this port"),
        ("smtp://nowhere.invalid", http, "the name of the mail server cannot be resolved"),
        (signing_in.url(user="notifier", password="wrong"), http, "the mail server answered 535 to the sign-in"),
        (with_tls.url(), trusting_nobody, "the mail server's certificate is not trusted: "),
    ]
    for url, client, words in faults:
        assert said_by(EmailSmtp({"SMTP_URL": url}, client)).startswith(words), url


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_a_confined_client_connects_to_no_mail_server_inside_the_network(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        url = f"{scheme}://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(Permanent) as caught:
            EmailSmtp({"SMTP_URL": url}, Http(is_confined=True)).try_out()
        assert caught.value.code == "target_refused"
        with pytest.raises(BlockingIOError):
            listener.accept()


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_a_confined_client_speaks_with_an_allowed_one(scheme: str, start_mail: Any, authority: Any) -> None:
    tls = {"smtp": {"tls_context": authority.server(), "require_starttls": True}, "smtps": {}}[scheme]
    server = start_mail(**tls, **({"ssl_context": authority.server()} if scheme == "smtps" else {}))
    client = Http(parse_networks(["127.0.0.0/8"]), tls=authority.trusted(), is_confined=True)
    url = server.url(scheme, host="localhost")
    assert EmailSmtp({"SMTP_URL": url}, client).try_out() == f"localhost:{server.port}"


def test_a_server_that_does_not_greet_is_tried_again(make_adapter: MakeAdapter, make_message: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"smtp://127.0.0.1:{listener.getsockname()[1]}"
        assert failure(make_adapter(url, Http(read_s=0.05)), make_message()) == (Retryable, "connect_timeout", False)


@pytest.mark.parametrize(
    ("greeting", "family", "code"),
    [(b"421 4.3.2 busy\r\n", Retryable, "4.3.2"), (b"554 5.7.1 go away\r\n", Misconfigured, "5.7.1")],
)
def test_a_refusal_in_the_greeting_is_read(
    greeting: bytes, family: type[DeliveryError], code: str, make_adapter: MakeAdapter, make_message: Any
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        adapter = make_adapter(f"smtp://127.0.0.1:{listener.getsockname()[1]}")

        def greet() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(greeting)

        thread = threading.Thread(target=greet)
        thread.start()
        assert failure(adapter, make_message()) == (family, code, False)
        thread.join()


def test_a_connection_is_used_again(start_mail: Any, make_adapter: MakeAdapter, make_message: Any) -> None:
    server = start_mail()
    adapter = make_adapter(server.url())
    for _ in range(3):
        adapter.send(make_message(), ALICE)
    assert len({mail.connection for mail in server.inbox.mails}) == 1


class _OneReader(socketserver.StreamRequestHandler):
    """A mail server by hand, which notes what arrives in one go and answers each command of it."""

    timeout = 60  # then it hangs up

    def handle(self) -> None:
        server = self.server
        assert isinstance(server, _ByHand)
        self.connection.sendall(b"220 mail.test\r\n")
        while arrived := self.connection.recv(65_536):
            server.arrived.append(arrived)
            commands = [b"."] if arrived.endswith(b"\r\n.\r\n") else arrived.splitlines()
            for command in commands:
                self.connection.sendall(server.answer(command.partition(b" ")[0].decode().upper()))


class _ByHand(socketserver.ThreadingTCPServer):
    def handle_error(self, *_: Any) -> None:
        """The client closes as it likes."""

    def __init__(self, **answers: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _OneReader)
        self.arrived: list[bytes] = []
        self.answers = {"EHLO": b"250-mail.test\r\n250 PIPELINING\r\n", "DATA": b"354 go on\r\n", **answers}

    def answer(self, command: str) -> bytes:
        return self.answers.get(command, b"250 OK\r\n")


@pytest.fixture
def serve_by_hand() -> Iterator[Callable[..., _ByHand]]:
    started: list[_ByHand] = []

    def start(**answers: bytes) -> _ByHand:
        started.append(_ByHand(**answers))
        threading.Thread(target=started[-1].serve_forever, args=(0.01,), daemon=True).start()
        return started[-1]

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("hello", "envelope"),
    [
        (b"250-mail.test\r\n250 PIPELINING\r\n", [[b"MAIL", b"RCPT", b"DATA"]]),
        (b"250 mail.test\r\n", [[b"MAIL"], [b"RCPT"], [b"DATA"]]),
    ],
)
def test_an_envelope_goes_in_one_packet_where_the_server_takes_it_so(
    hello: bytes,
    envelope: list[list[bytes]],
    serve_by_hand: Callable[..., _ByHand],
    make_adapter: MakeAdapter,
    make_message: Any,
) -> None:
    server = serve_by_hand(EHLO=hello)
    make_adapter(f"smtp://127.0.0.1:{server.server_address[1]}").send(make_message(), ALICE)
    assert [[line[:4] for line in packet.splitlines()] for packet in server.arrived[1:-1]] == envelope


@pytest.mark.parametrize(
    ("answers", "code", "after"),
    [
        ({"RCPT": b"550 5.1.1 no such user\r\n", "DATA": b"503 5.5.1 no recipient\r\n"}, "5.1.1", b"RSET\r\n"),
        ({"MAIL": b"550 5.1.0 no\r\n", "RCPT": b"503 no\r\n", "DATA": b"503 no\r\n"}, "5.1.0", b"RSET\r\n"),
        # It waits for a mail to nobody (RFC 2920, 3.1), which would be one more thing that could go wrong
        ({"RCPT": b"550 5.1.1 no such user\r\n"}, "5.1.1", b"MAIL FROM:"),
    ],
)
def test_a_refusal_within_an_envelope_leaves_no_reply_to_the_next_one(
    answers: dict[str, bytes],
    code: str,
    after: bytes,
    serve_by_hand: Callable[..., _ByHand],
    make_adapter: MakeAdapter,
    make_message: Any,
) -> None:
    server = serve_by_hand()
    adapter = make_adapter(f"smtp://127.0.0.1:{server.server_address[1]}")
    adapter.send(make_message(), ALICE)
    server.answers |= answers
    del server.arrived[:]
    assert failure(adapter, make_message())[1] == code
    for command in ("MAIL", "RCPT"):
        server.answers.pop(command, None)
    server.answers["DATA"] = b"354 go on\r\n"
    adapter.send(make_message(), ALICE)
    [*_, begun, mail] = server.arrived
    assert (begun[:4], mail[:5]) == (b"MAIL", b"From:")
    assert [packet for packet in server.arrived if packet.startswith(after)]
    assert b"From:" not in b"".join(server.arrived[:-1])


@pytest.mark.parametrize("reply", [b"550 5.1.1 no such user\r\n", b"450 4.2.1 later\r\n"])
def test_no_command_is_sent_where_the_server_takes_it_for_the_mail(
    reply: bytes, serve_by_hand: Callable[..., _ByHand], make_adapter: MakeAdapter, make_message: Any
) -> None:
    server = serve_by_hand(RCPT=reply)
    adapter = make_adapter(f"smtp://127.0.0.1:{server.server_address[1]}")
    failure(adapter, make_message())
    adapter.close()
    server.shutdown()
    server.server_close()  # waits for its threads, so for all that arrives
    [_, envelope] = server.arrived
    assert envelope.endswith(b"DATA\r\n")


def test_threads_share_connections_one_at_a_time(start_mail: Any, make_adapter: MakeAdapter, make_message: Any) -> None:
    server = start_mail()
    adapter = make_adapter(server.url())
    to = [Recipient(f"user{number}@shop.test") for number in range(40)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda one: adapter.send(make_message(), one), to))
    assert sorted(mail.to[0] for mail in server.inbox.mails) == sorted(one.address for one in to)
    assert len({mail.connection for mail in server.inbox.mails}) <= 4


@PIPELINES
def test_a_refused_recipient_does_not_cost_the_connection(
    extensions: tuple[str, ...], start_mail: Any, make_adapter: MakeAdapter, make_message: Any
) -> None:
    server = start_mail(extensions=extensions)
    adapter = make_adapter(server.url())
    adapter.send(make_message(), ALICE)
    server.inbox.replies["RCPT"] = "550 5.1.1 no such user"
    assert failure(adapter, make_message())[0] is InvalidRecipient
    del server.inbox.replies["RCPT"]
    adapter.send(make_message(), ALICE)
    assert len({mail.connection for mail in server.inbox.mails}) == 1


@PIPELINES
def test_a_connection_that_went_stale_is_opened_again_without_a_failure(
    extensions: tuple[str, ...], start_mail: Any, make_adapter: MakeAdapter, make_message: Any
) -> None:
    server = start_mail(extensions=extensions)
    adapter = make_adapter(server.url())
    adapter.send(make_message(), ALICE)
    server.run(lambda: server.controller.smtpd.transport.abort())
    adapter.send(make_message(), ALICE)
    assert len({mail.connection for mail in server.inbox.mails}) == 2


@PIPELINES
def test_a_connection_the_server_wants_to_close_is_opened_again_without_a_failure(
    extensions: tuple[str, ...], start_mail: Any, make_adapter: MakeAdapter, make_message: Any
) -> None:
    server = start_mail(extensions=extensions)
    adapter = make_adapter(server.url())
    adapter.send(make_message(), ALICE)
    old = server.inbox.mails[0].connection
    server.inbox.replies["MAIL"] = lambda connection: "421 4.7.0 enough" if connection.session.peer == old else None
    adapter.send(make_message(), ALICE)
    assert len({mail.connection for mail in server.inbox.mails}) == 2


def test_a_name_in_another_script_needs_a_server_that_knows_it(
    start_mail: Any, make_adapter: MakeAdapter, make_message: Any
) -> None:
    knows, knows_not = start_mail(enable_SMTPUTF8=True), start_mail(enable_SMTPUTF8=False)
    to = Recipient("büro@münchen.test", name="Büro")
    make_adapter(knows.url()).send(make_message(), to)
    [arrived] = knows.inbox.mails
    assert (arrived.to, "SMTPUTF8" in arrived.options) == (["büro@xn--mnchen-3ya.test"], True)
    assert failure(make_adapter(knows_not.url()), make_message(), to) == (Permanent, "smtputf8_missing", False)


def test_a_domain_in_another_script_goes_through_any_server(
    start_mail: Any, make_adapter: MakeAdapter, make_message: Any
) -> None:
    server = start_mail(enable_SMTPUTF8=False)
    make_adapter(server.url()).send(make_message(), Recipient("buero@münchen.test"))
    assert server.inbox.mails[0].to == ["buero@xn--mnchen-3ya.test"]


@pytest.mark.parametrize(
    "url",
    [
        "smtp://",
        "smtp:///x",
        "smtp://user:s3cret#x@mail.test",
        "smtp://mail.test:99999",
        "http://s3cret@mail.test",
        "smtp://[::1",
        "smtp://::1:25",
    ],
)
def test_a_url_that_is_none_is_refused_without_being_quoted(url: str, make_adapter: MakeAdapter) -> None:
    with pytest.raises(ValueError, match="SMTP_URL must be") as caught:
        make_adapter(url)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "Shop", "Shop <>", "shop@", "Büro <büro@shop.test>", "a@b@c", "a b@shop.test"])
def test_a_sender_that_is_none_is_refused(text: str, make_adapter: MakeAdapter) -> None:
    with pytest.raises(ValueError, match="SMTP_FROM"):
        make_adapter("smtp://127.0.0.1", SMTP_FROM=text)


def test_without_a_server_nothing_is_sent(http: Http, make_message: Any) -> None:
    assert failure(EmailSmtp({}, http), make_message()) == (Misconfigured, "not_configured", False)


@pytest.mark.parametrize(
    "quoted", ["<alice@example.test>", "alice@example.test", "rcpt:<alice@example.test>,", "(alice@example.test)"]
)
def test_an_address_that_a_server_quotes_is_not_passed_on(quoted: str) -> None:
    error = explain_reply("RCPT", 550, f"5.1.1 {quoted}: Recipient address rejected".encode())

    assert "alice" not in str(error)
    assert "Recipient address rejected" in str(error)


def test_it_opens_no_more_connections_than_it_may(
    start_mail: Any, make_adapter: MakeAdapter, make_message: Any
) -> None:
    server = start_mail()
    adapter = make_adapter(server.url(), SMTP_CONNECTIONS="2")
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: adapter.send(make_message(), Recipient(f"p{n}@shop.test")), range(24)))
    assert len(server.inbox.mails) == 24
    assert len({mail.connection for mail in server.inbox.mails}) <= 2


@pytest.mark.parametrize("number", ["0", "many", "-1"])
def test_a_number_of_connections_that_makes_no_sense_is_refused(make_adapter: MakeAdapter, number: str) -> None:
    with pytest.raises(ValueError, match="SMTP_CONNECTIONS"):
        make_adapter("smtp://127.0.0.1:25", SMTP_CONNECTIONS=number)
