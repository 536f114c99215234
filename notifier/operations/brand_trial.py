"""A sample mail that shows a brand before it is saved. Called by the console; its words are ours, so it needs no budget
of an author's.
"""

from notifier.core.brand import Brand
from notifier.core.message import Content
from notifier.core.wording import ANY_CHANNEL, TemplateSource, Words
from notifier.ground.config import current_settings
from notifier.ground.zones import UTC
from notifier.operations.template_trial import READER
from notifier.words.render import RenderRequest, render

_SAMPLE = Words(
    title="Your order is on its way",
    html='<p>{{ greeting }}</p><p>A mail has a text, perhaps with <a href="https://example.com/">a link</a>, and a '
    "button.</p>",
    action_label="Follow the parcel",
    action_url="https://example.com/",
)


def sample_mail(brand: Brand) -> str:
    """The HTML of the mail."""
    site = current_settings().public_url
    request = RenderRequest(
        channel="email",
        locale="en",
        type="brand",
        template=TemplateSource(None, "brand", 1, {(ANY_CHANNEL, "en"): _SAMPLE}),
        titles={"en": "Order shipped"},
        data={},
        user_name=READER,
        zone=UTC,
        category="transactional",
        why_url=site,
        unsubscribe_url=site,
        brand=brand,
    )
    [content] = render([request])
    if not isinstance(content, Content) or content.html is None:
        raise RuntimeError(f"the sample cannot be rendered: {content}")
    return content.html
