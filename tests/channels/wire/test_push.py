"""What every provider of push messages keeps to: so many bytes, and one rule of shortening."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notifier.channels import ADAPTERS
from notifier.channels.sandbox import sandbox_for
from notifier.channels.wire.http import Http
from notifier.channels.wire.push import PushAdapter
from notifier.core.errors import Permanent
from notifier.core.message import PLATFORMS, Content, Push, Recipient
from tests.channels.test_contract import recipient

PUSHING = [adapter for adapter in ADAPTERS if issubclass(adapter, PushAdapter)]
texts = st.builds(lambda text, times: text * times, st.text(max_size=20), st.integers(0, 120))
contents = st.builds(
    Content,
    texts,
    texts,
    image=st.none() | st.integers(0, 2_000).map(lambda size: "https://shop.test/" + "i" * size),
    action_url=st.none() | st.integers(0, 2_000).map(lambda size: "https://shop.test/" + "a" * size),
)
data = st.dictionaries(st.text(max_size=8), texts, max_size=4)


@pytest.mark.parametrize("adapter", PUSHING, ids=lambda adapter: adapter.provider)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(contents, data, st.booleans(), st.sampled_from([*PLATFORMS, None]))
def test_no_message_is_longer_than_its_provider_takes_and_the_sandbox_says_the_same(
    http: Http,
    make_message: Any,
    adapter: type[PushAdapter],
    content: Content,
    data: Any,
    is_silent: bool,
    platform: str | None,
) -> None:
    """Data are never left out: where they alone have no room, nothing is sent."""
    message = make_message(content=content, data=data, push=Push(is_silent=is_silent))
    example = recipient(adapter)
    to = Recipient(example.address, platform=platform)
    built, sandbox = adapter({}, http), sandbox_for(adapter.channel, adapter)({}, http)
    try:
        lean = built.shortened(message, to)
    except Permanent:
        with pytest.raises(Permanent, match="providers accept at most"):
            sandbox.send(message, to)
        return
    assert len(built.counted(lean, to)) <= built.most_bytes <= 4_096
    assert lean.data == data
    if len(content.body) <= 500:  # as rendering leaves it
        assert sandbox.send(message, to).captured["payload"]["body"] == lean.content.body
