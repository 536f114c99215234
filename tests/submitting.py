"""Short ways to submit, and mail servers to send to."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from apiflask import APIFlask

from notifier.access import keys
from notifier.channels import serving
from notifier.core.errors import Rejected
from notifier.core.submission import InlineRecipient, Submission
from notifier.pipeline.intake.accept import accept
from notifier.pipeline.intake.item import Accepted, Caller, Item
from notifier.providers import accounts as providers
from tests.running import free_port


def submission(*recipients: str | InlineRecipient, type: str = "order_shipped", **fields: Any) -> Submission:
    """Not left out as a repeat unless it says so: most tests say the same again and again."""
    people = tuple(r if isinstance(r, InlineRecipient) else InlineRecipient(r) for r in recipients)
    return Submission(type=type, recipients=people, **{"data": {"order_id": "A1"}, "dedupe": False, **fields})


@pytest.fixture
def caller(app: APIFlask) -> Caller:
    producer = keys.create_producer("Shop")
    return Caller(
        producer.id, is_test=False, may_be_urgent=True, types=None, request_id="req-1", may_change_people=True
    )


@pytest.fixture
def submit(caller: Caller) -> Callable[..., Any]:
    """`submit("alice", type="like", data={…})` → the answer. Raises what it was rejected with."""

    def _submit(*recipients: Any, caller: Caller = caller, **fields: Any) -> dict[str, Any]:
        [result] = accept([Item(caller, submission(*recipients, **fields))])
        if isinstance(result, Rejected):
            raise result
        assert isinstance(result, Accepted)
        return result.answer

    return _submit


class Mailbox:
    """An SMTP server that takes everything, or answers every recipient with `refusal`."""

    def __init__(self) -> None:
        self.received: list[str] = []
        self.refusal = ""
        self.controller = Controller(self, hostname="127.0.0.1", port=free_port())

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:  # noqa: N802 (aiosmtpd's name)
        if self.refusal:
            return self.refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        self.received += envelope.rcpt_tos
        return "250 OK"

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.controller.port}"


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    server = Mailbox()
    server.controller.start()
    yield server
    server.controller.stop()


@pytest.fixture
def configure(app: APIFlask) -> Iterator[Callable[..., None]]:
    """`configure(main=url, spare=url)`: SMTP accounts in this order."""

    def _configure(**urls: str) -> None:
        for position, (name, url) in enumerate(urls.items()):
            providers.add(name, "smtp", {"SMTP_URL": url}, position=position)
        providers.refresh_now()

    yield _configure
    serving.registry().configure(())
    app.extensions.pop("providers", None)


@pytest.fixture
def nobody() -> str:
    """The URL of a mail server that is not there."""
    return f"smtp://127.0.0.1:{free_port()}"
