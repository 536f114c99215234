"""Whose health a send depends on: the provider's, one server's by host and port, one tenant's of a host that serves
many, or one receiver's.
"""

from urllib.parse import SplitResult

import pytest

from notifier.channels.adapters.email_smtp import EmailSmtp
from notifier.channels.adapters.slack import Slack
from notifier.channels.adapters.telegram import Telegram
from notifier.channels.adapters.webhook_standard import StandardWebhook
from notifier.channels.contract import Adapter
from notifier.channels.wire.http import Http
from notifier.core.message import Recipient


class Teams(StandardWebhook):
    """One host, and a team in the first two parts of the path, as Slack's incoming webhooks have it."""

    provider = "teams"

    def tenant(self, url: SplitResult) -> str:
        return "/" + url.path.split("/")[2]


SCOPES: list[tuple[type[Adapter], str, str]] = [
    (EmailSmtp, "a@x.test", "smtp"),
    (StandardWebhook, "https://x.test/a", "webhook:x.test:443"),
    (StandardWebhook, "http://x.test/a", "webhook:x.test:80"),
    (StandardWebhook, "https://x.test:8443/b", "webhook:x.test:8443"),
    (StandardWebhook, "https://me:secret@X.test/a?token=1", "webhook:x.test:443"),
    (StandardWebhook, "https://[2001:db8::1]:444/", "webhook:2001:db8::1:444"),
    (Teams, "https://hooks.test/services/T1/B1/secret", "teams:hooks.test:443/T1"),
    (Teams, "https://hooks.test/services/T2/B9/secret", "teams:hooks.test:443/T2"),
    (Slack, "C012AB3CD", "slack"),  # of chats, the services slow down one at a time
    (Telegram, "123456789", "telegram"),
]


@pytest.mark.parametrize(("adapter", "address", "scope"), SCOPES)
def test_a_scope_is_a_provider_or_a_server_or_a_tenant(adapter: type[Adapter], address: str, scope: str) -> None:
    assert adapter({}, Http()).scope(Recipient(address)) == scope


@pytest.mark.parametrize(("adapter", "address", "scope"), SCOPES[1:])
def test_a_receiver_is_one_address_and_tells_nothing_of_it(adapter: type[Adapter], address: str, scope: str) -> None:
    mine, other = (adapter({}, Http()).receiver(Recipient(each)) for each in (address, address + "x"))
    assert mine != other
    assert mine.partition("#")[:2] == (scope, "#")
    assert "secret" not in mine
    assert "token" not in mine


def test_who_slows_down_a_provider_of_ours_slows_down_all_of_it() -> None:
    assert EmailSmtp({}, Http()).receiver(Recipient("a@x.test")) == "smtp"
