"""Laws of rendering: no JSON data and no template source ever raises, and no data ever becomes markup."""

import re
from functools import cache
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notifier.catalogue import load
from notifier.channels import CHANNELS
from notifier.core.message import Content
from notifier.core.wording import Words
from notifier.words.language import TemplateFault, check_source
from notifier.words.render import RenderFault, render
from tests.words.rendering import UNSUBSCRIBE, WHY, outcome, request, source_of

TYPES = load()
NAMES = sorted(
    {name for entry in TYPES for name in entry.schema["properties"]}
    | {"user", "data", "greeting", "range", "loop", "self", ""}
)
NASTY = [
    "<script>x</script>",
    "'\"><img src=x onerror=y>",
    "javascript:x",
    "{{ 7*7 }}",
    "\x00\ue000title\ue000",
    "\r\nBcc: x",
    "2026-12-03",
    "9999-12-31T23:59:59Z",
    "0001-01-01",
    "1e999",
]

texts = st.text(st.characters(), max_size=40) | st.sampled_from(NASTY)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["name", "price", "quantity", "items"]) | texts, inner, max_size=4)
    ),
    max_leaves=8,
)
data = st.dictionaries(st.sampled_from(NAMES) | texts, values, max_size=12)


class Tags(HTMLParser):
    """The tags and attribute names of a document; text and values do not count."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[tuple[str, tuple[str, ...]]] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add((tag, tuple(name for name, _ in attrs)))


def tags(html: str) -> set[tuple[str, tuple[str, ...]]]:
    parser = Tags()
    parser.feed(html)
    return parser.seen


@cache
def usual_tags() -> frozenset[tuple[str, tuple[str, ...]]]:
    """Every kind of tag that the product's own mails have, whatever the data."""
    full = {
        "items": ["x"],
        "total": 1,
        "text": "x",
        "offer": "a\nb",
        "body": "a\nb",
        "code": "x",
        "url": "https://x.test",
        "tracking_url": "https://x.test",
        "image": "https://x.test",
    }
    full |= {name: "x" for name in NAMES if name not in full}
    full["minutes"] = full["days"] = full["failed"] = full["count"] = full["more"] = 2
    full["lines"] = [{"title": "x", "url": "https://x.test"}, {"title": "y"}]
    seen: set[tuple[str, tuple[str, ...]]] = set()
    for entry in TYPES:
        for locale in ("en", "de"):
            for given_data in (full, {**full, "code": ""}, {**full, "offer": "", "text": ""}):
                result = render(
                    [
                        request(
                            "email",
                            source_of(entry),
                            given_data,
                            locale=locale,
                            category=entry.category,
                            why_url=WHY,
                            unsubscribe_url=UNSUBSCRIBE,
                        )
                    ]
                )[0]
                assert isinstance(result, Content), result
                seen |= tags(result.html or "")
    return frozenset(seen)


SOURCES = [(entry, source_of(entry)) for entry in TYPES]


@pytest.mark.slow
@settings(max_examples=300)
@given(
    picked=st.sampled_from(SOURCES),
    channel=st.sampled_from(sorted(CHANNELS)),
    locale=st.sampled_from(["en", "de-AT", "pt-BR"]),
    data=data,
    name=st.none() | texts,
)
def test_any_data_gives_words_or_a_fault_and_never_markup(picked, channel, locale, data, name):
    entry, template = picked
    wanted = request(
        channel,
        template,
        data,
        locale=locale,
        category=entry.category,
        user_name=name,
        why_url=WHY,
        unsubscribe_url=UNSUBSCRIBE,
    )
    result = render([wanted])[0]
    if isinstance(result, RenderFault):
        return
    assert "\n" not in result.title + (result.subject or "") + (result.action_label or "")
    assert not re.search(
        "[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]",
        result.title + result.body + (result.subject or "") + (result.html or ""),
    )
    assert tags(result.html or "") <= usual_tags()
    for url in (result.action_url, result.image):
        assert url is None or re.match(r"(https?://|/(?![/\\]))", url, re.IGNORECASE)
    (result.body + (result.html or "")).encode()


@pytest.mark.slow
@settings(max_examples=300)
@given(value=values)
def test_a_value_is_escaped_wherever_a_template_prints_it(value):
    words = Words(
        "t",
        "b",
        html=(
            "<p>{{ x }}</p><p title=\"{{ x|default('') }}\">{{ [x]|join }}{{ x|phrase }}{{ x|number }}{{ "
            "x|money('EUR') }}</p>{{ x|paragraphs }}"
        ),
    )
    result = outcome("email", words, {"x": value})
    plain = outcome("email", words, {"x": "a\nb"})
    assert isinstance(plain, Content)
    if isinstance(result, Content):
        assert tags(result.html or "") <= tags(plain.html or "")


fragments = st.sampled_from(
    [
        "{{",
        "}}",
        "{%",
        "%}",
        "{#",
        "#}",
        " for x in ",
        " if ",
        " endif ",
        " endfor ",
        "range(9)",
        "x",
        "|",
        "upper",
        "join",
        "(",
        ")",
        "[",
        "]",
        ".",
        "'",
        " ~ ",
        "1",
        "*",
        "<p>",
        "</p>",
        "<",
        "\n",
        "set a = ",
    ]
)


@settings(max_examples=500)
@given(source=st.lists(fragments, max_size=14).map("".join) | st.text(max_size=60))
def test_any_source_is_fine_or_a_fault(source):
    fault = check_source(source)
    assert fault is None or isinstance(fault, TemplateFault)
    assert isinstance(
        outcome("email", Words(source, source, source, source, source, source, source), {"x": "y"}),
        (Content, RenderFault),
    )


@pytest.mark.parametrize("key", ["items", "keys", "name"])
def test_keys_that_are_methods_of_a_dict_are_data(key):
    assert outcome("inapp", Words("{{ x." + key + " }}"), {"x": {key: "found"}}) == Content(
        title="found", body="", language="en"
    )
