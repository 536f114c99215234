"""E-mail through any mail server that speaks SMTP: STARTTLS when offered, TLS from the start with smtps://, AUTH."""

from collections.abc import Mapping

from notifier.channels.contract import Setting
from notifier.channels.mailing import MailAdapter
from notifier.channels.wire import mail
from notifier.channels.wire.http import Http
from notifier.channels.wire.server_url import ServerUrl
from notifier.channels.wire.smtp import Pool, Server
from notifier.core.errors import Misconfigured
from notifier.core.message import Message, Receipt, Recipient


class EmailSmtp(MailAdapter):
    provider = "smtp"
    label = "SMTP"
    prefix = "SMTP"
    settings = (
        Setting(
            "SMTP_URL",
            "`smtp://[user:password@]host:port` (STARTTLS when offered) or `smtps://…`",
            is_secret=True,
            example="smtp://user:password@mail.example.com:587",
            server=ServerUrl({"smtp": "STARTTLS when offered", "smtps": "TLS from the start"}),
        ),
        Setting(
            "SMTP_CONNECTIONS",
            "how many connections a worker process may open",
            is_required=False,
            default="20",
            example="20",
        ),
        Setting(
            "SMTP_FROM",
            "sender of the mails",
            is_required=False,
            default="Notifier <notifier@localhost>",
            default_here=mail.sender_here,
            example="Shop <shop@example.com>",
        ),
    )

    def __init__(self, settings: Mapping[str, str], http: Http) -> None:
        super().__init__(settings, http)
        url = self.options.get("SMTP_URL")
        self.server = Server.parse(url, self.sender.domain) if url else None
        connections = self.options["SMTP_CONNECTIONS"]
        if not connections.isdecimal() or not 1 <= int(connections) <= 1000:
            raise ValueError("SMTP_CONNECTIONS: must be a number from 1 to 1000")
        self.pool = Pool(self.server, http, int(connections)) if self.server else None

    def send(self, message: Message, to: Recipient) -> Receipt:
        pool = self._configured()
        composed = self.compose(message, to)
        pool.send(composed.by.address, composed.to.address, composed.raw)
        return Receipt("sent", provider_message_id=composed.message_id)

    def try_out(self) -> str:
        return self._configured().try_out()

    def _configured(self) -> Pool:
        if self.pool is None:
            raise Misconfigured("SMTP_URL is not set", code="not_configured")
        return self.pool

    def close(self) -> None:
        if self.pool is not None:
            self.pool.close()
