"""Telegram: sendMessage of a bot (https://core.telegram.org/bots/api#sendmessage)."""

import re
from html import escape
from typing import Any

from notifier.channels.contract import Adapter, AddressKind, Channel, Setting, Shape
from notifier.channels.wire.answers import AMBIGUOUS, STATUSES, Family, Response, explain, explain_code, not_understood
from notifier.channels.wire.chat import link
from notifier.core.errors import DeliveryError, InvalidRecipient, Misconfigured, RateLimited
from notifier.core.message import Message, Receipt, Recipient
from notifier.core.shortening import cut, cut_to_units, units

_LONGEST_TITLE, _LONGEST_BODY = 256, 3_500
_LONGEST = 4_096  # units of UTF-16, the tags not counted
_TOKEN = re.compile(r"\d+:[\w-]+", re.ASCII)
_CHAT = re.compile(r"-?\d{1,20}|@[A-Za-z]\w{3,31}", re.ASCII)

# Telegram has no codes: its very sentences, and a word for each. All say that nothing can be sent to this chat.
_SENTENCES: dict[object, str] = {
    "Forbidden: bot was blocked by the user": "bot_blocked",
    "Forbidden: user is deactivated": "user_deactivated",
    "Forbidden: bot can't initiate conversation with a user": "never_started",
    "Forbidden: bot can't send messages to bots": "is_bot",
    "Forbidden: bot was kicked from the group chat": "bot_kicked",
    "Forbidden: bot was kicked from the supergroup chat": "bot_kicked",
    "Forbidden: bot was kicked from the channel chat": "bot_kicked",
    "Forbidden: bot is not a member of the supergroup chat": "not_a_member",
    "Forbidden: bot is not a member of the channel chat": "not_a_member",
    "Bad Request: chat not found": "chat_not_found",
    "Bad Request: user not found": "user_not_found",
    "Bad Request: PEER_ID_INVALID": "chat_not_found",
}
# 401 and 404: the token, which stands in the URL. 403: an address that none of the sentences fits.
_STATUSES: dict[int, Family] = {
    **STATUSES,
    403: InvalidRecipient,
    404: Misconfigured,
    500: AMBIGUOUS,
    502: AMBIGUOUS,
}


def _parse(value: str) -> str:
    text = value.strip()
    if not _CHAT.fullmatch(text):
        raise ValueError("A Telegram chat must be its number, or the @name of a public channel.")
    return text


def _mask(value: str) -> str:
    return f"…{value[-3:]}" if len(value) > 5 else "…"


TELEGRAM = Channel(
    "telegram",
    "Telegram",
    AddressKind("Telegram chat", "123456789", _parse, _mask),
    Shape(has_card=True, longest_body=_LONGEST_BODY),
    every_address=True,
)


class Telegram(Adapter):
    channel = TELEGRAM
    provider = "telegram"
    label = "Telegram"
    settings = (
        Setting(
            "TELEGRAM_BOT_TOKEN",
            "token of the bot, from @BotFather",
            is_secret=True,
            example="110201543:AAHdqTcvCH1vGWJ",
        ),
        Setting(
            "TELEGRAM_URL",
            "base of the Bot API",
            is_required=False,
            default="https://api.telegram.org",
            example="https://api.telegram.org",
        ),
    )
    per_second = 30

    def send(self, message: Message, to: Recipient) -> Receipt:
        answer = self._call(message, to.address)
        return Receipt("sent", provider_message_id=f"{answer['result']['chat']['id']}:{answer['result']['message_id']}")

    def receiver(self, to: Recipient) -> str:
        """Telegram slows down one chat, for hours if need be; `per_second` keeps to the limit of the bot:
        https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this
        """
        return self.address_alone(to)

    def _call(self, message: Message, chat_id: str) -> dict[str, Any]:
        token = self.options.get("TELEGRAM_BOT_TOKEN", "")
        if not _TOKEN.fullmatch(token):
            raise Misconfigured("TELEGRAM_BOT_TOKEN is not the token of a bot", code="not_configured")
        moved: list[Any] = []

        def look_for_move(response: Response) -> DeliveryError | None:
            moved.append(_parameters(response).get("migrate_to_chat_id"))
            return self.explain(response)

        url = f"{self.options['TELEGRAM_URL'].rstrip('/')}/bot{token}/sendMessage"
        # There is no field for an id of ours that nobody sees.
        headers = {"X-Request-Id": message.delivery_id}
        try:
            return self.http.post_json(url, _payload(message, chat_id), headers, explain=look_for_move).json()
        except DeliveryError:
            # A group that has become a supergroup has another number. Nothing has been sent to the old one.
            if not moved or not isinstance(moved[0], int) or str(moved[0]) == chat_id:
                raise
        return self.http.post_json(url, _payload(message, str(moved[0])), headers, explain=self.explain).json()

    def explain(self, response: Response) -> DeliveryError | None:
        answer = response.json()
        if response.is_success:
            result = answer.get("result")
            is_sent = (
                answer.get("ok") is True
                and isinstance(result, dict)
                and "message_id" in result
                and isinstance(result.get("chat"), dict)
                and "id" in result["chat"]
            )
            return None if is_sent else not_understood(response)
        if response.status == 429:
            told = _parameters(response).get("retry_after")
            return explain_code(429, response, {429: RateLimited}, retry_after=told)
        sentence = answer.get("description")
        code = _SENTENCES.get(sentence) if isinstance(sentence, str) else None
        return InvalidRecipient(f"Telegram answered: {sentence}", code=code) if code else explain(response, _STATUSES)

    def preview(self, message: Message, to: Recipient) -> dict[str, Any]:
        return {**super().preview(message, to), "payload": _payload(message, to.address)}


def _parameters(response: Response) -> dict[str, Any]:
    found = response.json().get("parameters")
    return found if isinstance(found, dict) else {}


def _payload(message: Message, chat_id: str) -> dict[str, Any]:
    content, action = message.content, link(message.content)
    title, label = cut(content.title.strip(), _LONGEST_TITLE), cut(action[0], _LONGEST_TITLE) if action else ""
    room = _LONGEST - units(f"{title}\n\n\n\n{label}")
    parts = [
        f"<b>{escape(title)}</b>" if title else "",
        escape(cut_to_units(cut(content.body, _LONGEST_BODY), room)),
        f'<a href="{escape(action[1])}">{escape(label)}</a>' if action else "",
    ]
    text = "\n\n".join(part for part in parts if part.strip())
    return {
        "chat_id": chat_id,
        "text": text or escape(message.type),
        "parse_mode": "HTML",
        "link_preview_options": {"is_disabled": True},
    }
