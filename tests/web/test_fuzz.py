"""Whatever stands in the address or the form of a page, the answer is a page:
never a 500, and no text becomes markup.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import cycle, islice
from typing import Any
from urllib.parse import quote

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.access.keys import create_key
from notifier.catalogue import templates
from notifier.core.wording import Words
from notifier.ground import tokens
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.models import Address, Capture, EventType, Producer, Template
from notifier.operations import bulk_actions
from notifier.providers import accounts as providers
from notifier.queries.dead_letters import Filter
from tests.conftest import link_of
from tests.web.conftest import Visitor

NASTY = (
    "a\0b",
    "\ud800",
    "99999999999999999999999999",
    "9223372036854775807",
    "-1",
    "nan",
    "٣²",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    '{"a": "\\ud800\\u0000", "n": 1e999}',
    "[" * 5_000,
    "\r\nX: y\r\n",
    "<script>alert(1)</script>\"'",
    "%_\\",
    "ä" * 3_000,
    "1" * 5_000,
    "{{ 7*'7' }}",
)
PARAMETERS = (
    *(
        "q",
        "id",
        "after",
        "before",
        "sort",
        "page",
        "channel",
        "queue",
        "provider",
        "outcome",
        "code",
        "type",
        "user",
        "text",
        "since",
        "until",
        "within",
    ),
    *(
        "ids",
        "producer",
        "status",
        "kind",
        "selected",
        "locale",
        "window",
        "actor",
        "action",
        "subject",
        "saved",
        "history",
        "next",
        "limit",
        "to",
        "show",
    ),
)
FIELDS = (
    *(
        "name",
        "email",
        "password",
        "kind",
        "scopes",
        "types",
        "life",
        "origins",
        "networks",
        "is_limited",
        "overlap",
        "state",
        "flag",
        "percentage",
        "confirm",
    ),
    *(
        "position",
        "weight",
        "is_on",
        "setting_SMTP_URL_host",
        "setting_SMTP_URL_port",
        "setting_SMTP_URL_password",
        "key",
        "titles",
        "category",
        "priority",
        "channels",
        "schema",
        "escalate_after_s",
        "dedupe_window_s",
    ),
    *(
        "routing",
        "title",
        "body",
        "html",
        "subject",
        "action_label",
        "action_url",
        "image",
        "sample",
        "seen",
        "shown_as",
        "type",
        "to",
        "channel",
        "locale",
    ),
    *(
        "base",
        "per_second",
        "through",
        "ids",
        "since",
        "until",
        "within",
        "text",
        "queue",
        "user",
        "scope",
        "back",
        "next",
        "role",
        "value",
        "label",
        "code",
    ),
    *(
        "on",
        "shown",
        "only",
        "set",
        "quiet",
        "quiet_start",
        "quiet_end",
        "quiet_days",
        "held",
        "time_zone",
        "mute_date",
        "events",
        "digest_at",
        "do_not_track",
    ),
    *("digest-social", "digest-marketing", "caps-social-day", "caps-marketing-hour", "subscription"),
)
PARTS = ("choices", "undo", "quiet", "often", "mute", "tracking")
ROUNDS = 1  # with other values in each place: more where something is to be searched for
_HOLE = re.compile(r"<(?:\w+:)?(\w+)>")
_KEY = "fuzzed"


@pytest.fixture(autouse=True)
def _no_words_stay(app: APIFlask) -> Iterator[None]:
    known = {model: set(db.session.scalars(sa.select(model.key))) for model in (Template, EventType)}
    yield
    with transaction() as session:
        for model, keys in known.items():
            session.execute(sa.delete(model).where(model.key.not_in(keys)))


@pytest.fixture
def admin(signed_in: Callable[..., Visitor]) -> Visitor:
    return signed_in("admin")


@pytest.fixture
def there(admin: Visitor, send: Callable[..., Any]) -> Mapping[str, str]:
    """What a path may name: one of each kind that is there."""
    [delivery] = send("zoe", email="rejected@sandbox.test", channels=("email",))
    send("zoe", email="zoe@example.test", channels=("email",))
    key, _ = create_key(db.session.scalars(sa.select(Producer.id)).one(), scopes=["read"])
    providers.add("mine", "smtp", {"SMTP_URL": "smtp://127.0.0.1:1"})
    return {
        "notification_id": show("ntf", delivery.notification_id),
        "job_id": show("dlv", delivery.id),
        "capture_id": show("cap", db.session.scalars(sa.select(Capture.id)).first()),
        "producer_id": show("prd", key.producer_id),
        "key_id": show("key", key.id),
        "address_id": show("adr", db.session.scalars(sa.select(Address.id).where(Address.user_id == "zoe")).first()),
        "action_id": show("blk", bulk_actions.start("retry", Filter())),
        "user_id": "zoe",
        "name": "mine",
        "adapter": "smtp",
        "channel": "email",
        "key": _KEY,
        "version": str(templates.create(_KEY, {("email", "en"): Words("t", "b")})),
        "token": tokens.sign_preferences(link_of("zoe")),
    }


def rules(app: APIFlask, method: str) -> list[str]:
    """All that people use; what would end the visit is left out."""
    programs = (
        "/api",
        "/hooks/",
        "/static",
        "/notif",
        "/user/",
        "/metrics",
        "/readyz",
        "/healthz",
        "/logout",
        "/preferences/erase",
    )
    return sorted(
        rule.rule
        for rule in app.url_map.iter_rules()
        if method in (rule.methods or ()) and not rule.rule.startswith(programs)
    )


def filled(rule: str, there: Mapping[str, str]) -> str:
    return _HOLE.sub(lambda hole: quoted(there.get(hole[1], "nothing")), rule)


def quoted(text: str) -> str:
    return quote(text, safe="", errors="surrogatepass")


def values(start: int, names: tuple[str, ...]) -> dict[str, str]:
    return dict(zip(names, islice(cycle(NASTY), start, None), strict=False))


def wrong(answer: Any) -> bool:
    return answer.status_code >= 500 or b"<script>alert(1)" in answer.data


@dataclass
class Form:
    action: str
    fields: dict[str, str] = field(default_factory=dict)


class Forms(HTMLParser):
    """Those of a page that are posted, as they would be sent with every box ticked."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[Form] = []
        self._name = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        known = {name: value or "" for name, value in attributes}
        if tag == "form":
            self.found.append(Form(known.get("action", "") if known.get("method") == "post" else "/logout"))
        elif not self.found:
            return
        elif tag in ("select", "textarea"):
            self._name = known.get("name", "")
            self.found[-1].fields[self._name] = ""
        elif tag == "option" and ("selected" in known or not self.found[-1].fields[self._name]):
            self.found[-1].fields[self._name] = known.get("value", "")
        elif tag in ("input", "button") and known.get("name"):
            self.found[-1].fields.setdefault(known["name"], known.get("value", "on"))

    def handle_data(self, data: str) -> None:
        if self.lasttag == "textarea" and self._name:
            self.found[-1].fields[self._name] += data

    def handle_endtag(self, tag: str) -> None:
        self._name = "" if tag in ("select", "textarea") else self._name


@pytest.mark.slow
def test_no_address_makes_a_page_fail(app: APIFlask, admin: Visitor, there: Mapping[str, str]) -> None:
    paths = []
    for number, rule in enumerate(rules(app, "GET")):
        for start in range(number, number + ROUNDS):
            query = "&".join(f"{name}={quoted(value)}" for name, value in values(start * 5, PARAMETERS).items())
            paths += [f"{filled(rule, there)}?{query}", f"{filled(rule, there)}?after=a%00b"]
            paths += [filled(rule, {**there, **values(start, (hole,))}) for hole in _HOLE.findall(rule)]

    assert len(paths) > 60
    assert [path for path in paths if wrong(admin.get(path))] == []


@pytest.mark.slow
def test_no_form_makes_a_page_fail(app: APIFlask, admin: Visitor, there: Mapping[str, str]) -> None:
    token, bad = admin.csrf_token(), []
    for number, rule in enumerate(rules(app, "POST")):
        is_preferences = rule in ("/preferences", "/p/<token>")
        for start in range(number, number + (len(PARTS) if is_preferences else ROUNDS)):
            form = {name: value.encode(errors="surrogatepass") for name, value in values(start * 5, FIELDS).items()}
            form |= {"part": PARTS[start % len(PARTS)], "mute": "date"} if is_preferences else {}
            for path in (filled(rule, there), filled(rule, {**there, **values(start, tuple(_HOLE.findall(rule)))})):
                if wrong(admin.post(path, {**form, "csrf_token": token}, token=False)):
                    bad.append((path, form))

    assert bad == []


@pytest.mark.slow
def test_no_field_of_a_form_makes_a_page_fail(app: APIFlask, admin: Visitor, there: Mapping[str, str]) -> None:
    """All others are as the page has them: so it is read as far as it can be. The same form is not tried twice."""
    token, bad, seen = admin.csrf_token(), [], set()
    for rule in rules(app, "GET"):
        path = filled(rule, there)
        page = admin.get(path)
        for form in Forms(page.text).found if page.mimetype == "text/html" else ():
            action = form.action or path
            for name in sorted(form.fields.keys() - {"csrf_token"}):
                place = (*sorted(form.fields), name)
                if place in seen or action.startswith(("/logout", "/preferences/erase")):
                    continue
                seen.add(place)
                for value in islice(cycle(NASTY), len(seen) * (ROUNDS - 1), len(seen) * (ROUNDS - 1) + ROUNDS):
                    sent = {**form.fields, name: value, "csrf_token": token}
                    encoded = {name: value.encode(errors="surrogatepass") for name, value in sent.items()}
                    if wrong(admin.post(action, encoded, token=False)):
                        bad.append((action, name, value))

    assert len(seen) > 200
    assert bad == []
