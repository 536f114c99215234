"""What holds for every adapter. A new one is covered by standing in the registry: its host is played by a sink on this
machine.
"""

import contextlib
import json
import logging
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from notifier.channels import ADAPTERS, CHANNELS, MADE
from notifier.channels.contract import Adapter, Channel
from notifier.channels.receipts import KINDS, HookRefused, HookRequest
from notifier.channels.sandbox import sandbox_for
from notifier.channels.wire.http import Http
from notifier.core.errors import DeliveryError, Misconfigured, Retryable
from notifier.core.message import Message, Receipt, Recipient
from notifier.ground.clock import now
from notifier.ground.config import Settings
from tests.channels.http2 import Http2Sink
from tests.channels.keys import p256_pem, service_account

pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")

SANDBOXES = [
    sandbox_for(channel, {a.channel.name: a for a in ADAPTERS}.get(name)) for name, channel in CHANNELS.items()
]
every_adapter = pytest.mark.parametrize(
    "adapter", [*ADAPTERS, *SANDBOXES], ids=lambda adapter: f"{adapter.channel.name}-{adapter.provider}"
)
real_adapter = pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda adapter: adapter.provider)

SECRET = "whsec_" + "c2VjcmV0" * 4
KEYS = {"FCM_SERVICE_ACCOUNT": service_account(), "APNS_KEY": p256_pem()}
# PROVIDER.json: the answer to a message that the provider has taken, as its documents show it. `before`: the path and
# the answer of what the adapter has to fetch first, once: an access token. `protocol`: h2, where it speaks HTTP/2
# alone. `to`: an address of its own kind, where the channel's example is another provider's.
ANSWERS = Path(__file__).parent / "answers"


@dataclass
class World:
    """Every host by https, and a mail server. Settings have the values of their examples, but for those in `local`,
    which name a server or hold a key.

    What an adapter fetches before it sends, such as an access token, is answered whatever becomes of the send, and is
    no send.
    """

    sink: Any
    mail: Any
    local: dict[str, str]
    http: Http
    start_http2: Callable[[], Http2Sink]
    before: str | None = None

    @property
    def sent(self) -> list[str]:
        """All that was sent, as text."""
        requests = [request for request in self.sink.requests if request.path != self.before]
        return [f"{r.headers} {r.body!r}" for r in requests] + [repr(mail.raw) for mail in self.mail.inbox.mails]

    def build(self, adapter: type[Adapter]) -> Adapter:
        answer = documented(adapter)
        if answer.get("protocol") == "h2":
            self.sink = self.start_http2()
        if answer:
            body = answer["body"] if isinstance(answer["body"], str) else json.dumps(answer["body"])
            self.sink.answers(answer["status"], answer["headers"], body.encode())
            if "before" in answer:
                self.before = answer["before"]["path"]
                self._answer_before(self.sink.answering(200, {}, json.dumps(answer["before"]["body"]).encode()))
        built = adapter(
            {setting.name: self.local.get(setting.name, setting.example) for setting in adapter.settings}, self.http
        )
        built.hook_url = "https://notify.test/hooks/x" if adapter.tells else None
        return built

    def _answer_before(self, first: Any) -> None:
        """Also when `sink.answer` is set later."""
        choose = self.sink.choose
        self.sink.choose = lambda request: first if request.path == self.before else choose(request)

    def hangs(self) -> None:
        self.sink.hangs()
        self.mail.inbox.replies["DATA"] = lambda server: server.transport.abort()

    def fails(self) -> None:
        """And says back all that it was told, as a careless receiver might."""

        def echo(handler: Any, request: Any) -> None:
            handler.send_response(500, "No")
            handler.send_header("Content-Length", str(len(request.body)))
            handler.send_header("Retry-After", request.headers.get("authorization", ""))
            handler.end_headers()
            handler.wfile.write(request.body)

        self.sink.answer = echo
        self.mail.inbox.replies["RCPT"] = "451 4.3.0 no"


@pytest.fixture
def world(secure_sink: Any, start_mail: Any, authority: Any) -> Iterator[World]:
    mail = start_mail(needs_login=True)
    http = Http(
        [ip_network("127.0.0.0/8")],
        resolve=lambda host, port: [("127.0.0.1", world.sink.port)],
        tls=authority.trusted(),
        read_s=0.2,
    )
    with contextlib.ExitStack() as stack:

        def start_http2() -> Http2Sink:
            return stack.enter_context(contextlib.closing(Http2Sink(authority)))

        world = World(secure_sink, mail, {"SMTP_URL": mail.url(user="notifier"), **KEYS}, http, start_http2)
        yield world
    http.close()


def documented(adapter: type[Adapter]) -> dict[str, Any]:
    """Its PROVIDER.json; empty where there is none."""
    file = ANSWERS / f"{adapter.provider}.json"
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    return found


def recipient(adapter: type[Adapter]) -> Recipient:
    kind = adapter.channel.address
    example = Recipient(kind.example if kind else "alice", secret=SECRET if kind and kind.has_secret else None)
    return replace(example, **documented(adapter).get("to", {}))


Make = Callable[..., Message]


@every_adapter
def test_it_declares_itself(adapter: type[Adapter]) -> None:
    assert isinstance(adapter.channel, Channel)
    assert all(isinstance(text, str) and text for text in (adapter.provider, adapter.label))
    assert adapter.per_second is None or adapter.per_second > 0
    assert isinstance(adapter.is_safe_to_repeat, bool)
    for setting in adapter.settings:
        assert setting.name.isupper()
        assert setting.help
        assert setting.example, "the contract test fills the settings with their examples"
        assert not (setting.is_secret and setting.default)


@real_adapter
def test_what_is_made_for_an_installation_is_a_secret_of_its_own(adapter: type[Adapter], world: World) -> None:
    made = [setting for setting in adapter.settings if setting.make]
    for setting in made:
        assert setting.make
        assert setting.is_secret
        assert setting.make() != setting.make()
        assert setting.kept_as != "digest_key"
        assert MADE[setting.kept_as] == setting, "another adapter makes one of this name"
    adapter({setting.name: setting.make() for setting in made if setting.make}, world.http).close()


@real_adapter
def test_its_defaults_here_follow_from_any_settings(adapter: type[Adapter], world: World, tmp_path: Path) -> None:
    settings = Settings.from_env({"NOTIFIER_HOME": str(tmp_path), "PUBLIC_URL": "https://[::1]:8443"})
    adapter(adapter.options_here(settings, {}), world.http).close()


@every_adapter
def test_its_public_key_tells_no_secret(adapter: type[Adapter], world: World) -> None:
    built = world.build(adapter)
    assert (adapter({}, world.http).public_key, type(built.public_key)) in ((None, type(None)), (None, str))
    assert built.public_key not in {built.options[setting.name] for setting in adapter.settings if setting.is_secret}


def test_no_two_adapters_have_one_name() -> None:
    names = [(adapter.channel.name, adapter.provider) for adapter in ADAPTERS]
    assert len(names) == len(set(names))


@every_adapter
def test_it_is_built_from_its_declared_defaults_and_previews_without_sending(
    adapter: type[Adapter], world: World, make_message: Make
) -> None:
    preview = adapter({}, world.http).preview(make_message(), recipient(adapter))
    assert list(preview) == ["to", "subject", "text", "html", "payload", "headers"]
    assert (world.sink.requests, world.mail.inbox.mails) == ([], [])


@real_adapter
def test_it_sends(adapter: type[Adapter], world: World, make_message: Make) -> None:
    receipt = world.build(adapter).send(make_message(), recipient(adapter))
    assert isinstance(receipt, Receipt)
    assert (receipt.status, receipt.captured) == ("sent", None)
    assert len(world.sent) == 1


@real_adapter
def test_what_it_sends_names_the_delivery(adapter: type[Adapter], world: World, make_message: Make) -> None:
    """So that whoever receives it twice can tell."""
    message = make_message()
    world.build(adapter).send(message, recipient(adapter))
    assert message.delivery_id in world.sent[0]


@real_adapter
def test_it_reports_an_uncertain_send_as_ambiguous(adapter: type[Adapter], world: World, make_message: Make) -> None:
    built = world.build(adapter)
    world.hangs()
    with pytest.raises(Retryable) as caught:
        built.send(make_message(), recipient(adapter))
    assert caught.value.ambiguous


@real_adapter
def test_it_never_leaks_a_secret(
    adapter: type[Adapter], world: World, make_message: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    built, told = world.build(adapter), []
    world.fails()
    for secret in (SECRET, "whsec_broken-s3cret!"):
        with pytest.raises(DeliveryError) as caught:
            built.send(make_message(), replace(recipient(adapter), secret=secret))
        told += traceback.format_exception(caught.value)
    secrets = {built.options[setting.name] for setting in adapter.settings if setting.is_secret} | {
        SECRET.removeprefix("whsec_"),
        "s3cret",
    }
    assert not [secret for secret in secrets if secret in "".join(told) + caplog.text]
    assert not [secret for secret in secrets if secret in repr(built)]


@real_adapter
def test_it_takes_no_receipt_that_it_cannot_verify(adapter: type[Adapter], world: World) -> None:
    """With its settings, or with none."""
    forged = HookRequest("POST", "https://notify.test/hooks/x", {"content-type": "application/json"}, b"{}", now())
    for built in (world.build(adapter), adapter({}, world.http)):
        with pytest.raises(HookRefused):
            built.read_receipts(forged)
        with pytest.raises(HookRefused):
            built.answer_challenge(HookRequest("GET", forged.url, {}, b"", now()))
    assert world.sink.requests == []


@real_adapter
def test_what_it_can_tell_is_declared_with_what_verifies_it(adapter: type[Adapter]) -> None:
    assert set(adapter.tells) <= set(KINDS)
    assert bool(adapter.tells) == any(setting.verifies for setting in adapter.settings)
    assert not [s.name for s in adapter.settings if s.verifies and not s.is_secret and s.default]


@real_adapter
def test_credentials_that_are_missing_are_our_misconfiguration(
    adapter: type[Adapter], world: World, make_message: Make
) -> None:
    kind = adapter.channel.address
    if not adapter.missing({}) and not (kind and kind.has_secret):
        pytest.skip("the address is all it needs")
    with pytest.raises(Misconfigured):
        adapter({}, world.http).send(make_message(), replace(recipient(adapter), secret=None))
    assert (world.sink.requests, world.mail.inbox.mails) == ([], [])


@every_adapter
def test_a_message_of_any_content_is_sent(adapter: type[Adapter], world: World, make_message: Make) -> None:
    content = make_message().content
    nasty = "x\r\nBcc: mallory@evil.test\x00\u2028 </script> €😀"
    message = make_message(
        content=type(content)(title=nasty, body=nasty, subject=nasty, html=nasty, action_url=nasty),
        data={"a": nasty, "b": None},
    )
    to = recipient(adapter)
    receipt = world.build(adapter).send(message, replace(to, name=nasty))
    assert receipt.status in ("sent", "delivered")
