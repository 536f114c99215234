"""In a message that nobody can opt out of, data are never part of the host of a link: `https://{{ code }}.example`
would give codes away.
"""

import pytest

from notifier.catalogue import load
from notifier.core.message import Content
from notifier.core.wording import Words
from notifier.words.link_hosts import MESSAGE, made_of_data, strange_link
from notifier.words.render import RenderFault
from tests.words.rendering import outcome

LEAKS = [
    "https://{{ code }}.evil.test/",
    "http://www.{{ code }}/",
    "//{{ code }}.evil.test/x",
    "//{{ code }}/x",
    "//a{{ code }}/x",
    "/\\{{ code }}/x",
    "https:/{{ code }}.evil.test",
    "https:\\\\{{ code }}.evil.test",
    "{{ scheme }}://evil.test/",
    "{{ code }}//evil.test/",
    "https://{{ code }}@evil.test/",
    "https://user:{{ code }}@evil.test/",
    "https://evil.test:{{ code }}/",
    "{{ url }}.evil.test/",
    "{{ url }}@evil.test/",
    "{{ code }}.evil.test",
    "www.{{ code }}",
    "https://{% if code %}{{ code }}{% endif %}.evil.test",
    "{% for c in code %}{{ c }}.{% endfor %}evil.test",
    "https://{# hidden #}{{ code }}.evil.test",
    "https://{{ 'a' }}{{ code }}.evil.test",
]
HARMLESS = [
    "{{ url }}",
    "{{ url or '' }}",
    "{{ url }}?code={{ code }}",
    "{{ url }}/more",
    "{% if code %}Your code: {{ code }}.{% elif url %}See {{ url }}.{% else %}Nothing.{% endif %}",
    "https://shop.example/{{ code }}",
    "https://shop.example?x={{ code }}",
    "Your code is {{ code }}. It is good for {{ minutes }} minutes.",
    "({{ code }}) {{ name }}: {{ code }}, {{ url }}.",
    "https://{{ 'shop' }}.example/",
    "<a href='{{ url }}'>{{ url }}</a>",
    "<p style='color:red'>{{ code }}</p>",
]


@pytest.mark.parametrize("source", LEAKS)
def test_a_host_that_is_made_of_data_is_found_with_its_line(source):
    assert made_of_data(f"one\ntwo {source}") == 2


@pytest.mark.parametrize("source", HARMLESS)
def test_whole_links_and_paths_are_no_concern(source):
    assert made_of_data(source) is None


@pytest.mark.parametrize("field", ["title", "body", "subject", "html", "action_url", "image"])
@pytest.mark.parametrize(
    "source",
    [
        *(
            "https://{{ code }}.evil.test/",
            "{{ 'ht' ~ 'tps:/' ~ '/' ~ code ~ '.evil.test/' }}",
            "{{ ['https:/', code]|join('/') }}.evil.test/",
        ),
        *("{{ 'https://x.evil.test'|replace('x', code) }}", "{{ url|replace('shop', code) }}"),
    ],
)
def test_nor_is_one_sent_that_was_put_together_in_an_expression(field, source):
    """What no reading of the source finds is found in what it says."""
    shown = f"<a href='{source}'>x</a>" if field == "html" else source
    words = Words(
        **{"title": "t", "body": "b", field: shown, **({"action_label": "go"} if field == "action_url" else {})}
    )
    data = {"code": "123456", "url": "https://shop.example/reset"}
    assert isinstance(outcome("email", words, data), Content)  # of another type
    assert outcome("email", words, data, is_mandatory=True) == RenderFault(MESSAGE, field)


@pytest.mark.parametrize(
    ("text", "data", "is_strange"),
    [
        ("https://shop.example/1", {}, False),
        ("https://SHOP.example/1", {}, False),
        ("https://shop.example.evil.test/", {}, True),
        ("https://shop.example@evil.test/", {}, True),
        ("http://shop.example/", {}, True),
        ("https://other.example/", {"url": "https://other.example/a?b"}, False),
        ("Mozilla (+http://bot.example/x)", {"device": ["Mozilla (+http://bot.example/x)"]}, False),
        ("https://1.other.example/", {"url": "https://other.example/"}, True),
        ("https&#58;//1.evil.test/", {}, True),
        ("no link at all", {}, False),
    ],
)
def test_a_link_leads_where_the_words_or_a_link_of_the_data_say(text, data, is_strange):
    assert (strange_link(text, ["see https://shop.example/"], data, [None]) is not None) == is_strange


def test_the_products_own_words_put_no_data_into_a_host():
    sources = [
        (entry.key, content.channel, name, source)
        for entry in load()
        for content in entry.contents
        for name, source in content.texts().items()
    ]
    assert [place for *place, source in sources if source and made_of_data(source)] == []
