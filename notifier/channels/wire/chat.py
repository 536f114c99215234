"""What the adapters of chat services share: the link of a card, and what the usual statuses mean at a URL that a person
gave.
"""

from notifier.channels.wire.answers import AMBIGUOUS, STATUSES, Family, Response
from notifier.core.errors import InvalidRecipient
from notifier.core.message import Content

# The URL is the address: whoever it was made for has taken it back. A server that broke may have posted all the same.
STATUSES_OF_A_HOOK: dict[int, Family] = {
    **STATUSES,
    401: InvalidRecipient,
    403: InvalidRecipient,
    404: InvalidRecipient,
    410: InvalidRecipient,
    500: AMBIGUOUS,
    502: AMBIGUOUS,
}


def is_page(response: Response) -> bool:
    """Whether a page came in the place of an answer: of a proxy, or to sign in."""
    return response.body.lstrip().startswith(b"<")


_LONGEST_URL = 2_000  # Discord's embeds have the least room


def link(content: Content) -> tuple[str, str] | None:
    """Label and URL of the card's action. None without one, for a path, which leads nowhere from a chat, and for a URL
    that no service would take.
    """
    url = content.action_url or ""
    if (
        len(url) > _LONGEST_URL
        or not url.startswith(("https://", "http://"))
        or any(c.isspace() or not c.isprintable() for c in url)
    ):
        return None
    return content.action_label or url, url


def image(content: Content) -> str | None:
    """The URL of the card's image, which the service fetches itself."""
    url = content.image or ""
    return url if url.startswith("https://") and url.isprintable() and " " not in url else None
