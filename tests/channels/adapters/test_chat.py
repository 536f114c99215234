"""Slack, Teams, Discord and Telegram: what they are sent, and what each of their answers amounts to.

The shapes are those of the services' documents, named in the adapters.
"""

import json
import re
from html import unescape
from typing import Any

import pytest

from notifier.channels.adapters.discord import Discord
from notifier.channels.adapters.slack import Slack
from notifier.channels.adapters.teams import Teams
from notifier.channels.adapters.telegram import Telegram
from notifier.channels.contract import Adapter
from notifier.channels.wire.http import Http
from notifier.core.errors import DeliveryError, InvalidRecipient, Misconfigured, Permanent, RateLimited, Retryable
from notifier.core.message import Content, Receipt, Recipient

BOT = {"SLACK_BOT_TOKEN": "xoxb-s3cret"}
TOKEN = "110201543:s3cret"
DELIVERY = "dlv_01930000000070008000000000000001"
SENT = {
    Discord: b'{"id":"1098"}',
    Slack: b"ok",
    Teams: b"",
    Telegram: b'{"ok":true,"result":{"message_id":365,"chat":{"id":123456789}}}',
}


def base(sink: Any) -> str:
    return f"http://127.0.0.1:{sink.port}"


def address(adapter: type[Adapter], sink: Any) -> Recipient:
    return Recipient(
        {
            Slack: f"{base(sink)}/services/T0/B0/s3cret",
            Teams: f"{base(sink)}/workflows/0123456789abcdef0123456789abcdef/triggers/manual/paths/invoke?sig=s3cret",
            Discord: f"{base(sink)}/api/webhooks/1/s3cret",
            Telegram: "123456789",
        }[adapter]
    )


def settings(adapter: type[Adapter], sink: Any) -> dict[str, str]:
    return {"TELEGRAM_BOT_TOKEN": TOKEN, "TELEGRAM_URL": base(sink)} if adapter is Telegram else {}


def sent(adapter: type[Adapter], http: Http, sink: Any, message: Any) -> tuple[Receipt, Any, Any]:
    """→ the receipt, the request and its body."""
    sink.answers(200, {}, SENT[adapter])
    receipt = adapter(settings(adapter, sink), http).send(message, address(adapter, sink))
    [request] = sink.requests
    assert request.headers["content-type"] == "application/json; charset=utf-8"
    return receipt, request, json.loads(request.body)


def failure(adapter: type[Adapter], http: Http, sink: Any, message: Any) -> tuple[type[DeliveryError], str, bool]:
    with pytest.raises(DeliveryError) as caught:
        adapter(settings(adapter, sink), http).send(message, address(adapter, sink))
    assert "s3cret" not in str(caught.value) + caught.value.code
    return type(caught.value), caught.value.code, getattr(caught.value, "ambiguous", False)


# ---- what is sent ---------------------------------------------------------------------------------------------------


def test_slack_shows_a_card_of_plain_text(http: Http, sink: Any, make_message: Any) -> None:
    receipt, request, body = sent(Slack, http, sink, make_message())
    assert receipt == Receipt("sent")
    assert request.path == "/services/T0/B0/s3cret"
    plain = {"type": "plain_text", "emoji": False}
    assert body == {
        "text": "On its way\nYour order A123 is on its way.",
        "blocks": [
            {"type": "header", "text": plain | {"text": "On its way"}, "block_id": DELIVERY},
            {"type": "section", "text": plain | {"text": "Your order A123 is on its way."}},
            {
                "type": "actions",
                "elements": [
                    {
                        "type": "button",
                        "text": plain | {"text": "Track it"},
                        "url": "https://shop.test/track/A123",
                        "action_id": "open",
                    }
                ],
            },
        ],
    }


EXTRA = {
    "buttons": (("Help", "https://shop.test/help"),),
    "facts": (("Order", "A*1*"), ("Total", "9")),
    "footer": "The shop",
    "colour": "#2f6FDE",
}


def test_each_service_shows_buttons_facts_and_footer_in_its_own_way(http: Http, sink: Any, make_message: Any) -> None:
    """And none of them reads Markdown in them."""
    message = make_message(content=Content("t", "b", action_label="Go", action_url="https://shop.test/", extra=EXTRA))
    plain = {"type": "plain_text", "emoji": False}
    assert Slack({}, http).preview(message, address(Slack, sink))["payload"]["blocks"][2:] == [
        {"type": "section", "fields": [plain | {"text": "Order\nA*1*"}, plain | {"text": "Total\n9"}]},
        {
            "type": "actions",
            "elements": [
                {"type": "button", "text": plain | {"text": label}, "url": url, "action_id": action}
                for label, url, action in (
                    ("Go", "https://shop.test/", "open"),
                    ("Help", "https://shop.test/help", "open1"),
                )
            ],
        },
        {"type": "context", "elements": [plain | {"text": "The shop"}]},
    ]
    card = Teams({}, http).preview(message, address(Teams, sink))["payload"]["attachments"][0]["content"]
    assert [[run["text"] for run in block["inlines"]] for block in card["body"]] == [
        *(["t"], ["b"], ["Order: ", "A*1*"], ["Total: ", "9"], ["The shop"]),
    ]
    assert [(action["title"], action["url"]) for action in card["actions"]] == [
        ("Go", "https://shop.test/"),
        ("Help", "https://shop.test/help"),
    ]
    [embed] = Discord({}, http).preview(message, address(Discord, sink))["payload"]["embeds"]
    assert {name: embed[name] for name in ("fields", "footer", "color")} == {
        "fields": [
            {"name": "Order", "value": r"A\*1\*", "inline": True},
            {"name": "Total", "value": "9", "inline": True},
        ],
        "footer": {"text": "The shop"},
        "color": 0x2F6FDE,
    }


@pytest.mark.parametrize("body", ["中" * 4096, "😀" * 5000, "a\n" * 2500, "中文\n" * 1600])
def test_what_has_no_room_is_left_out(body: str, http: Http, sink: Any, make_message: Any) -> None:
    facts = tuple((f"{number}" * 150, "中" * 1000) for number in range(10))
    buttons = tuple((f"{number}", f"https://shop.test/{'x' * 1900}") for number in range(4))
    message = make_message(content=Content("t", body, extra={"facts": facts, "footer": "f" * 300, "buttons": buttons}))
    card = Teams({}, http).preview(message, address(Teams, sink))["payload"]
    shown = card["attachments"][0]["content"]["body"]
    texts = [run["text"] for block in shown for run in block["inlines"]]
    assert len(json.dumps(card, ensure_ascii=False, separators=(",", ":")).encode()) <= 28 * 1024
    assert (texts[0], texts[1][:1], texts[-1]) == ("t", body[0], "f" * 300)
    assert body.count("\n") < len(shown) or any(text.endswith("…") for text in texts)
    [embed] = Discord({}, http).preview(message, address(Discord, sink))["payload"]["embeds"]
    shown = [embed["title"], embed["description"], embed["footer"]["text"]]
    shown += [text for fact in embed.get("fields", ()) for text in (fact["name"], fact["value"])]
    assert sum(map(len, shown)) <= 6000


@pytest.mark.parametrize("sign", ["a", "ö", "中", "😀", "<", "👩‍👩‍👧"])
def test_telegram_counts_units_of_utf_16_without_the_tags(sign: str, http: Http, make_message: Any) -> None:
    content = Content(sign * 256, sign * 3_500, action_label=sign * 256, action_url="https://shop.test/")
    text = Telegram({}, http).preview(make_message(content=content), Recipient("1"))["payload"]["text"]
    shown = unescape(re.sub("<[^>]*>", "", text))
    assert 3_000 < len(shown.encode("utf-16-le")) // 2 <= 4_096
    assert [part.strip("…") != "" for part in shown.split("\n\n")] == [True, True, True]
    assert (len(sign) == 1 and sign < "😀") == (sign * 3_500 in shown)


def test_slacks_bot_writes_to_a_person_and_names_the_delivery(http: Http, sink: Any, make_message: Any) -> None:
    sink.answers(200, {}, b'{"ok":true,"channel":"D024BE91L","ts":"1503435956.000247"}')
    receipt = Slack(BOT | {"SLACK_URL": base(sink)}, http).send(make_message(), Recipient("U012AB3CD"))
    [request] = sink.requests
    assert receipt == Receipt("sent", provider_message_id="D024BE91L:1503435956.000247")
    assert (request.path, request.headers["authorization"]) == ("/chat.postMessage", "Bearer xoxb-s3cret")
    body = json.loads(request.body)
    assert body["channel"] == "U012AB3CD"
    assert body["metadata"] == {"event_type": "notification", "event_payload": {"delivery_id": DELIVERY}}


def test_an_id_without_a_bot_is_our_misconfiguration(http: Http, sink: Any, make_message: Any) -> None:
    with pytest.raises(Misconfigured):
        Slack({"SLACK_URL": base(sink)}, http).send(make_message(), Recipient("U012AB3CD"))
    assert sink.requests == []


def test_teams_is_sent_an_adaptive_card(http: Http, sink: Any, make_message: Any) -> None:
    content = Content("On its way", "First line\n\nsecond [line](https://evil.test)", action_url="/orders/1")
    _, request, body = sent(Teams, http, sink, make_message(content=content))
    assert request.headers["x-request-id"] == DELIVERY
    run = {"type": "TextRun"}
    assert body == {
        "type": "message",
        "attachments": [
            {
                "contentType": "application/vnd.microsoft.card.adaptive",
                "contentUrl": None,
                "content": {
                    "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                    "type": "AdaptiveCard",
                    "version": "1.4",
                    "fallbackText": "On its way",
                    "body": [
                        {
                            "type": "RichTextBlock",
                            "inlines": [run | {"text": "On its way", "weight": "Bolder", "size": "Medium"}],
                        },
                        {"type": "RichTextBlock", "inlines": [run | {"text": "First line"}]},
                        {"type": "RichTextBlock", "inlines": [run | {"text": "second [line](https://evil.test)"}]},
                    ],
                },
            }
        ],
    }


def test_discord_is_asked_for_an_id_and_mentions_nobody(http: Http, sink: Any, make_message: Any) -> None:
    content = Content("On its way", "@everyone **look** [here](https://evil.test)", action_url="https://shop.test/1")
    receipt, request, body = sent(Discord, http, sink, make_message(content=content))
    assert receipt == Receipt("sent", provider_message_id="1098")
    assert (request.path, request.headers["x-request-id"]) == ("/api/webhooks/1/s3cret?wait=true", DELIVERY)
    assert body == {
        "embeds": [
            {
                "title": "On its way",
                "description": "@everyone \\*\\*look\\*\\* \\[here\\]\\(https://evil.test\\)\n\nhttps://shop.test/1",
                "url": "https://shop.test/1",
            }
        ],
        "allowed_mentions": {"parse": []},
    }


def test_discords_thread_stays_in_the_url(http: Http, sink: Any, make_message: Any) -> None:
    sink.answers(200, {}, SENT[Discord])
    Discord({}, http).send(make_message(), Recipient(f"{base(sink)}/api/webhooks/1/x?thread_id=7"))
    assert sink.requests[0].path == "/api/webhooks/1/x?thread_id=7&wait=true"


def test_telegram_is_sent_text_in_which_only_ours_is_markup(http: Http, sink: Any, make_message: Any) -> None:
    content = Content("1 < 2", "<b>& more</b>", action_label="Go", action_url='https://shop.test/?a=1&b="')
    receipt, request, body = sent(Telegram, http, sink, make_message(content=content))
    assert receipt == Receipt("sent", provider_message_id="123456789:365")
    assert (request.path, request.headers["x-request-id"]) == (f"/bot{TOKEN}/sendMessage", DELIVERY)
    assert body == {
        "chat_id": "123456789",
        "text": "<b>1 &lt; 2</b>\n\n&lt;b&gt;&amp; more&lt;/b&gt;\n\n"
        '<a href="https://shop.test/?a=1&amp;b=&quot;">Go</a>',
        "parse_mode": "HTML",
        "link_preview_options": {"is_disabled": True},
    }


def test_telegram_follows_a_group_to_its_new_number(http: Http, sink: Any, make_message: Any) -> None:
    moved = {
        "ok": False,
        "error_code": 400,
        "description": "Bad Request: group chat was upgraded to a supergroup chat",
        "parameters": {"migrate_to_chat_id": -1001},
    }

    def answer(handler: Any, request: Any) -> None:
        is_old = json.loads(request.body)["chat_id"] == "123456789"
        sink.answering(*((400, {}, json.dumps(moved).encode()) if is_old else (200, {}, SENT[Telegram])))(
            handler, request
        )

    sink.answer = answer
    Telegram(settings(Telegram, sink), http).send(make_message(), Recipient("123456789"))
    assert [json.loads(request.body)["chat_id"] for request in sink.requests] == ["123456789", "-1001"]


# ---- what answers amount to -----------------------------------------------------------------------------------------

HOOKS = [
    (400, b"", (Permanent, "http_400", False)),
    (401, b"", (InvalidRecipient, "http_401", False)),
    (403, b"", (InvalidRecipient, "http_403", False)),
    (404, b"", (InvalidRecipient, "http_404", False)),
    (410, b"", (InvalidRecipient, "http_410", False)),
    (413, b"", (Permanent, "http_413", False)),
    (429, b"", (RateLimited, "http_429", False)),
    (500, b"", (Retryable, "http_500", True)),
    (502, b"<html>", (Retryable, "http_502", True)),
    (503, b"", (Retryable, "http_503", False)),
    (504, b"", (Retryable, "http_504", True)),
]


@pytest.mark.parametrize("adapter", [Slack, Teams, Discord])
@pytest.mark.parametrize(("status", "body", "expected"), HOOKS)
def test_a_status_of_a_url_that_somebody_gave(
    adapter: type[Adapter], status: int, body: bytes, expected: Any, http: Http, sink: Any, make_message: Any
) -> None:
    sink.answers(status, {}, body)
    assert failure(adapter, http, sink, make_message()) == expected


ANSWERS: list[tuple[type[Adapter], int, Any, Any]] = [
    (Slack, 400, b"invalid_payload", (Permanent, "invalid_payload", False)),
    (Slack, 403, b"action_prohibited", (Permanent, "action_prohibited", False)),
    (Slack, 404, b"channel_not_found", (InvalidRecipient, "channel_not_found", False)),
    (Slack, 410, b"channel_is_archived", (InvalidRecipient, "channel_is_archived", False)),
    (Slack, 404, b"s3cret", (InvalidRecipient, "http_404", False)),
    (Slack, 200, b"invalid_payload", (Permanent, "invalid_payload", False)),
    (Slack, 500, b"rollup_error", (Retryable, "rollup_error", True)),
    (Slack, 200, b" <!DOCTYPE html><title>Sign in</title>", (Retryable, "not_understood", True)),
    (Teams, 200, b"<html>", (Retryable, "not_understood", True)),
    (Discord, 200, b"<html>", (Retryable, "not_understood", True)),
    (Discord, 204, b"", (Retryable, "not_understood", True)),
    (Discord, 404, {"message": "Unknown Webhook", "code": 10015}, (InvalidRecipient, "10015", False)),
    (Discord, 401, {"message": "Invalid Webhook Token", "code": 50027}, (InvalidRecipient, "50027", False)),
    (Discord, 400, {"embeds": ["s3cret"]}, (Permanent, "http_400", False)),
    (Discord, 400, {"message": "Invalid Form Body", "code": 50035}, (Permanent, "50035", False)),
    (Telegram, 200, b"", (Retryable, "not_understood", True)),
    (Telegram, 200, {"ok": True, "result": True}, (Retryable, "not_understood", True)),
    (Telegram, 200, {"ok": True, "result": {"message_id": 1, "chat": 5}}, (Retryable, "not_understood", True)),
    (Telegram, 200, {"ok": False, "error_code": 400}, (Retryable, "not_understood", True)),
    (Telegram, 401, {"ok": False, "description": "Unauthorized"}, (Misconfigured, "http_401", False)),
    (Telegram, 404, {"ok": False, "description": "Not Found"}, (Misconfigured, "http_404", False)),
    (Telegram, 400, {"description": "Bad Request: message is too long"}, (Permanent, "http_400", False)),
    (Telegram, 400, {"description": "Bad Request: chat not found"}, (InvalidRecipient, "chat_not_found", False)),
    (
        Telegram,
        403,
        {"description": "Forbidden: bot was blocked by the user"},
        (InvalidRecipient, "bot_blocked", False),
    ),
    (Telegram, 403, {"description": "Forbidden: something new"}, (InvalidRecipient, "http_403", False)),
    (Telegram, 500, b"", (Retryable, "http_500", True)),
]


@pytest.mark.parametrize(("adapter", "status", "body", "expected"), ANSWERS)
def test_an_answer_means_one_thing(
    adapter: type[Adapter], status: int, body: Any, expected: Any, http: Http, sink: Any, make_message: Any
) -> None:
    sink.answers(status, {}, body if isinstance(body, bytes) else json.dumps(body).encode())
    assert failure(adapter, http, sink, make_message()) == expected


BOTS = [
    (200, {"ok": False, "error": "channel_not_found"}, (InvalidRecipient, "channel_not_found", False)),
    (200, {"ok": False, "error": "is_archived"}, (InvalidRecipient, "is_archived", False)),
    (200, {"ok": False, "error": "msg_too_long"}, (Permanent, "msg_too_long", False)),
    (200, {"ok": False, "error": "invalid_auth"}, (Misconfigured, "invalid_auth", False)),
    (200, {"ok": False, "error": "fatal_error"}, (Retryable, "fatal_error", True)),
    (200, {"ok": False, "error": "something_new"}, (Retryable, "something_new", True)),
    (429, {"ok": False, "error": "ratelimited"}, (RateLimited, "ratelimited", False)),
    (200, {}, (Retryable, "not_understood", True)),
    (200, {"ok": "yes"}, (Retryable, "not_understood", True)),
    (401, {}, (Misconfigured, "http_401", False)),
    (404, {}, (Permanent, "http_404", False)),
    (408, {}, (Retryable, "http_408", False)),
    (500, {}, (Retryable, "http_500", True)),
    (502, {}, (Retryable, "http_502", True)),
    (503, {}, (Retryable, "http_503", False)),
]


@pytest.mark.parametrize(("status", "body", "expected"), BOTS)
def test_slacks_api_says_failed_inside_a_200(
    status: int, body: Any, expected: Any, http: Http, sink: Any, make_message: Any
) -> None:
    sink.answers(status, {}, json.dumps(body).encode())
    with pytest.raises(DeliveryError) as caught:
        Slack(BOT | {"SLACK_URL": base(sink)}, http).send(make_message(), Recipient("C012AB3CD"))
    error = caught.value
    assert (type(error), error.code, getattr(error, "ambiguous", False)) == expected


@pytest.mark.parametrize(
    ("adapter", "headers", "body", "seconds"),
    [
        (Slack, {"Retry-After": "30"}, b"", 30),
        (Teams, {"Retry-After": "7"}, b"", 7),
        (Discord, {"Retry-After": "65"}, b'{"message":"...","retry_after":64.57,"global":false}', 64.57),
        (Discord, {}, b'{"retry_after":64570}', 3600),
        (Discord, {"Retry-After": "3"}, b"<html>", 3),
        (Telegram, {}, b'{"ok":false,"error_code":429,"parameters":{"retry_after":14}}', 14),
        (Telegram, {}, b'{"ok":false}', 5),
    ],
)
def test_each_says_in_its_own_way_how_long_to_wait(
    adapter: type[Adapter],
    headers: dict[str, str],
    body: bytes,
    seconds: float,
    http: Http,
    sink: Any,
    make_message: Any,
) -> None:
    sink.answers(429, headers, body)
    with pytest.raises(RateLimited) as caught:
        adapter(settings(adapter, sink), http).send(make_message(), address(adapter, sink))
    assert caught.value.retry_after == seconds


# ---- addresses and scopes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("adapter", "value", "scope"),
    [
        (Slack, "https://hooks.slack.com/services/T024BE7LD/B0/s3cret", "slack:hooks.slack.com:443/T024BE7LD"),
        (Slack, "https://chat.shop.test/hooks/s3cret", "slack:chat.shop.test:443"),  # Mattermost: all of it is secret
        (Slack, "U012AB3CD", "slack"),
        (Discord, "https://discord.com/api/webhooks/1098/s3cret", "discord:discord.com:443/1098"),
        (
            Teams,
            "https://p.logic.azure.com/workflows/0123456789abcdef0123456789abcdef/triggers/x?sig=s3cret",
            "teams:p.logic.azure.com:443/01234567",
        ),
        (Teams, "https://p.logic.azure.com/x/s3cret", "teams:p.logic.azure.com:443"),
        (Telegram, "123456789", "telegram"),
    ],
)
def test_a_dead_workspace_says_nothing_about_the_others(adapter: type[Adapter], value: str, scope: str) -> None:
    assert adapter({}, Http()).scope(Recipient(value)) == scope


@pytest.mark.parametrize(
    ("adapter", "value"),
    [
        (Slack, "alice"),
        (Slack, "U1"),
        (Slack, "ftp://hooks.slack.com/x"),
        (Discord, "https://discord.com/channels/1/2"),
        (Discord, "https://discord.com/api/webhooks/1"),
        (Teams, "teams"),
        (Telegram, "alice"),
        (Telegram, "@x"),
        (Telegram, "12 34"),
    ],
)
def test_what_is_no_address_is_refused_with_a_sentence(adapter: type[Adapter], value: str) -> None:
    assert adapter.channel.address
    with pytest.raises(ValueError, match=r"[A-Z].*\."):
        adapter.channel.address.parse(value)


def test_texts_are_cut_to_what_the_service_takes(http: Http, sink: Any, make_message: Any) -> None:
    long = Content("T" * 9_000, "b_" * 9_000, action_label="L" * 9_000, action_url="https://shop.test/")
    for adapter in (Slack, Teams, Discord, Telegram):
        sink.requests.clear()
        _, request, body = sent(adapter, http, sink, make_message(content=long))
        assert len(request.body) < 28_000
        if adapter is Discord:
            assert (len(body["embeds"][0]["title"]), len(body["embeds"][0]["description"]) <= 4096) == (256, True)
        if adapter is Telegram:
            assert len(body["text"]) <= 4096 + len('<b></b><a href="https://shop.test/"></a>')
        if adapter is Slack:
            assert len(body["blocks"][0]["text"]["text"]) == 150
            assert len(body["blocks"][1]["text"]["text"]) == 3000
            assert len(body["text"]) <= 3000
