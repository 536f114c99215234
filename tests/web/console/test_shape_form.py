"""What a channel's shape declares is in the editor, in the API and in the preview, without another line of code."""

import re
from collections.abc import Callable
from typing import Any

from apiflask import APIFlask

from notifier.api.schemas.catalogue import TemplateWords
from notifier.catalogue import templates
from notifier.channels import CHANNELS, FIELDS
from notifier.core.shape_fields import ON, ShapeField
from notifier.core.wording import ANY_CHANNEL, Words
from notifier.ground.extensions import db
from notifier.queries import templates as queries
from tests.web.conftest import Visitor

KEY = "shape_form_words"
DRAFT = f"/admin/templates/{KEY}/1"
# By kind: what is typed, and what the preview shows of it
TYPED = {
    "line": ("#aabbcc", "#aabbcc"),
    "text": ("one\ntwo", "one"),
    "list": ("order_shipped", "order_shipped"),
    "pairs": ("Order: {{ id }}", "Order: A1"),
    "links": ("Help: https://shop.test/{{ id }}", "Help: https://shop.test/A1"),
    "switch": (ON, ON),
}


def stored(channel: str) -> Any:
    db.session.rollback()
    return queries.source(KEY, 1).contents[channel, "en"].extra


def test_every_field_that_is_declared_is_typed_stored_and_shown(
    app: APIFlask, signed_in: Callable[..., Visitor]
) -> None:
    admin = signed_in("admin")
    templates.create(KEY, {(ANY_CHANNEL, "en"): Words("Hello")})
    having = {name: channel.shape.fields for name, channel in CHANNELS.items() if channel.shape.fields}
    assert having
    for channel, fields in having.items():
        typed = {field.name: TYPED[field.kind][0] for field in fields}
        form = {"channel": channel, "locale": "en", "title": "Hello", "sample": '{"id": "A1"}', **typed}
        shown = admin.post(f"{DRAFT}/preview", form, headers={"X-Partial": "preview"}).text
        answer = admin.post(DRAFT, form)
        assert answer.status_code == 303, re.findall(r'class="field-fault[^<]*<', answer.text)
        assert stored(channel) == typed
        page = admin.get(f"{DRAFT}?channel={channel}&locale=en").text
        for field in fields:
            assert f'name="{field.name}"' in page
            assert field.kind == "switch" or TYPED[field.kind][1] in shown, field.name
            assert field.name in TemplateWords.model_fields


def test_words_for_any_channel_have_the_fields_of_all_and_say_whose_they_are(
    app: APIFlask, signed_in: Callable[..., Visitor]
) -> None:
    admin = signed_in("admin")
    templates.create(KEY, {(ANY_CHANNEL, "en"): Words("Hello", extra={"footer": "The shop"})})
    page = admin.get(DRAFT).text
    assert [name for name in FIELDS if f'name="{name}"' not in page] == []
    assert ("For Slack, Microsoft Teams, Discord." in page, "The shop" in page) == (True, True)
    admin.post(DRAFT, {"channel": "*", "locale": "en", "title": "Hello", "footer": "", "facts": "Order: 1"})
    assert stored(ANY_CHANNEL) == {"facts": "Order: 1"}


def test_what_is_wrong_with_a_field_stands_beside_it(app: APIFlask, signed_in: Callable[..., Visitor]) -> None:
    admin = signed_in("admin")
    templates.create(KEY, {("slack", "en"): Words("Hello")})
    answer = admin.post(DRAFT, {"channel": "slack", "locale": "en", "title": "Hello", "buttons": "a\nHelp"})
    assert answer.status_code == 422
    assert re.search(r'id="buttons-fault">[^<]*Line 2: write it as a label, a colon', answer.text)
    assert stored("slack") == {}


def test_a_field_is_the_same_wherever_it_is_declared_and_is_called_like_no_other() -> None:
    declared: list[ShapeField] = [field for channel in CHANNELS.values() for field in channel.shape.fields]
    assert {id(field) for field in declared} == {id(field) for field in FIELDS.values()}
    taken = {"channel", "locale", "title", "sample", "seen", "shown_as", "type", "to", "csrf_token"}
    assert taken & set(FIELDS) == set()
