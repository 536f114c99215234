"""What holds for all mail providers."""

from typing import Any

import pytest

from notifier import channels
from notifier.channels.mailing import MailAdapter
from notifier.channels.wire.http import Http

TRACKING = [
    adapter
    for adapter in channels.ADAPTERS
    if issubclass(adapter, MailAdapter) and any(one.name == f"{adapter.prefix}_TRACKING" for one in adapter.settings)
]


@pytest.mark.parametrize("adapter", TRACKING, ids=lambda adapter: adapter.provider)
@pytest.mark.parametrize("refuses", [False, True])
def test_a_provider_tracks_nobody_who_refuses(
    adapter: type[MailAdapter], refuses: bool, http: Http, make_message: Any
) -> None:
    settings = {one.name: one.example for one in adapter.settings} | {f"{adapter.prefix}_TRACKING": "on"}
    message = make_message(category="marketing", do_not_track=refuses)
    assert adapter(settings, http).is_tracked(message) is not refuses
