"""What the adapters of all mail providers have in common: the sender, the mail that is written, and how it is shown.

`wire.mail` writes the mail. An adapter hands it over, whole where its provider takes it so.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from notifier.channels.contract import Adapter, Setting
from notifier.channels.receipts import Kind
from notifier.channels.table import MAIL
from notifier.channels.wire import mail
from notifier.channels.wire.http import Http
from notifier.core.errors import InvalidRecipient
from notifier.core.message import Message, Recipient
from notifier.core.preferences import COMPLAINED_OF
from notifier.ground.clock import now

# Under this name a provider says back the delivery's id; none of theirs is called so.
DELIVERY = "notifier_delivery"

_NOBODY = "Notifier <notifier@localhost>"  # in previews, where no sender is set


def is_offer(message: Message) -> bool:
    """The others must arrive, and as they were written: codes, links to sign in."""
    return message.category in COMPLAINED_OF


class MailAdapter(Adapter):
    """`prefix` begins the names of the settings: PREFIX_FROM, and PREFIX_TRACKING where the provider can track."""

    channel = MAIL
    prefix: ClassVar[str]

    def __init__(self, settings: Mapping[str, str], http: Http) -> None:
        super().__init__(settings, http)
        try:
            self.sender = mail.sender(self.options.get(f"{self.prefix}_FROM", _NOBODY))
        except ValueError as error:
            raise ValueError(f"{self.prefix}_FROM: {error}") from None
        if self.options.get(f"{self.prefix}_TRACKING", "off") not in ("on", "off"):
            raise ValueError(f"{self.prefix}_TRACKING: must be on or off")

    def compose(self, message: Message, to: Recipient) -> mail.Mail:
        try:
            return mail.compose(message, to, by=self.sender, at=now())
        except ValueError:
            raise InvalidRecipient("this is not an e-mail address", code="invalid_address") from None

    def is_tracked(self, message: Message) -> bool:
        """May the provider put its own links and a picture into this mail, to tell of opens and clicks? A scanner that
        follows a link before the person does would use it up.
        """
        is_wanted = is_offer(message) and not message.do_not_track
        return self.options.get(f"{self.prefix}_TRACKING") == "on" and is_wanted

    @property
    def tells_here(self) -> tuple[Kind, ...]:
        """Opens and clicks only where it tracks."""
        kinds = super().tells_here
        is_off = self.options.get(f"{self.prefix}_TRACKING") == "off"
        return tuple(kind for kind in kinds if not (is_off and kind in ("opened", "clicked")))

    def preview(self, message: Message, to: Recipient) -> dict[str, Any]:
        return mail.as_captured(self.compose(message, to), to, message)


def sender_setting(prefix: str) -> Setting:
    return Setting(
        f"{prefix}_FROM", "sender of the mails, confirmed at the provider", example="Shop <shop@example.com>"
    )


def tracking_setting(prefix: str) -> Setting:
    return Setting(
        f"{prefix}_TRACKING",
        "`on`: the provider tells of opens and clicks, by links and a picture of its own in marketing and social mail",
        is_required=False,
        default="off",
        example="off",
    )
