"""A mail inlined with its template says what one inlined with its data says."""

from html.parser import HTMLParser
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.catalogue import load
from notifier.core.wording import Words
from notifier.ground.languages import locale_for
from notifier.words.formats import Reader
from notifier.words.language import GLOBALS, Budget, Compiled
from notifier.words.mail_html import inlined
from tests.words.rendering import content

READER = Reader(locale_for("en"), ZoneInfo("UTC"))
LATER = "{{ ('' | paragraphs) ~ '' }}"  # prints nothing, and is inlined with its data
CATALOGUE = [
    pytest.param(one.html, entry.sample, id=f"{entry.key}-{one.locale}")
    for entry in load()
    for one in entry.contents
    if one.html
]
DATA = {"a": "1 < 2 & \"x\" 'y'", "url": "https://x.test/?a=1&b=2", "few": [1, 2], "nil": [], "yes": True, "no": False}


class Events(HTMLParser):
    """What a browser reads; elements that stand in a table's way are left out."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.found: list[object] = []
        self.feed(document)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, sorted((name, (value or "").rstrip(";")) for name, value in attrs)))

    def handle_endtag(self, tag):
        self.found.append(f"/{tag}")

    def handle_data(self, data):
        text = " ".join(data.split())
        if self.found and isinstance(self.found[-1], list):
            self.found[-1].append(text)
        elif text:
            self.found.append([text])


def run(source, data):
    compiled, budget = Compiled(source, is_html=True), Budget(10**9)
    variables = {**GLOBALS, **data, "data": data, "user": {"name": "Alice"}, "greeting": "Hello Alice,"}
    written = compiled.run(variables, READER, budget)
    return compiled.css, written


def inlined_late(source, data):
    css, written = run(source + LATER, data)
    assert css is None
    return inlined(written, Budget(10**9))


@pytest.mark.parametrize(("source", "sample"), CATALOGUE)
def test_every_mail_of_the_catalogue_is_inlined_with_its_template(source, sample):
    css, written = run(source, sample)
    assert css is not None
    assert Events(written).found == Events(inlined_late(source, sample).html).found


@pytest.mark.parametrize(
    "source",
    [
        "<p>{{ a }}</p>",
        "plain",
        "{% if yes %}<p>a</p>{% else %}<h2>b</h2>{% endif %}",
        "{% if no %}<p>a</p>{% elif yes %}<ul><li>{{ a }}</li></ul>{% else %}<h2>b</h2>{% endif %}",
        '<table class="facts">{% for n in few %}<tr><th>{{ n }}</th><td>{{ a }}</td></tr>{% endfor %}</table>',
        '<table class="facts">{% for n in nil %}<tr><td>a</td></tr>{% else %}<tr><td>-</td></tr>{% endfor %}</table>',
        "<table><tr>{% for n in few %}<td>{{ n }}</td>{% endfor %}</tr></table>",
        '<a href="{{ url }}" title="{{ a }}">{{ a }}</a>',
        "<a href={{ url }}>x</a><img alt='{{ a }}' src=\"https://x.test/{{ few[0] }}.png?{{ a|urlencode }}\">",
        "{{ a|paragraphs }}",
        "<blockquote>{{ 'a\n\nb\nc'|paragraphs }}</blockquote><div>{% if yes %}{{ a|paragraphs }}{% endif %}</div>",
        "<p>{{ a|paragraphs }}</p>",
        "<p>{% if yes %}<strong>{{ a }}</strong>{% endif %} and {% set b = a %}{{ b }}</p>",
        "{% with c = a %}<p>{{ c }}</p>{% endwith %}<p>unclosed<p>{{ a }}",
        "<!-- {# a #} --><p>{% raw %}{{ a }}{% endraw %}</p><script>x</script>",
        "<style>p { color: red } .wide td { padding: 1px }</style><p class=wide>{{ a }}</p>",
        "<style>@media (max-width: 480px) { p { color: red } }</style><p>{{ a }}</p>",
        "<p class='small'>{{ a }}</p>" + "\ue0000\ue001",
    ],
)
def test_what_is_inlined_with_its_template_says_what_is_inlined_with_its_data(source):
    css, written = run(source, DATA)
    late = inlined_late(source.replace("\ue0000\ue001", "0"), DATA)
    assert (css, Events(written).found) == (late.css, Events(late.html).found)


@pytest.mark.parametrize(
    "source",
    [
        "<p>a{% if yes %}</p><blockquote>b</blockquote>{% else %}.</p>{% endif %}",
        "{% for n in few %}<div>{% endfor %}x{% for n in few %}</div>{% endfor %}",
        '<p {% if yes %}class="small"{% endif %}>x</p>',
        '<p class="{{ a }}">x</p>',
        '<p style="width: {{ few[0] }}px">x</p>',
        "<p {{ a }}=1>x</p>",
        "<p><ul>{% if yes %}</ul><p>{% endif %}x</p>",
        "{% set b = a|paragraphs %}{{ b }}",
        '<p title="{{ a|paragraphs }}">x</p>',
        "<!-- {{ a }} -->",
        '<a href="javascript:{{ a }}">x</a>',
        "<style>p:first-child { color: red }</style>{% if yes %}<p>a</p>{% endif %}<p>b</p>",
        "<style>p { color: {{ a }} }</style><p>b</p>",
        "{% if no %}<style>p { color: red }</style>{% endif %}<p>b</p>",
        "{% if yes %}<style>@media print { p { color: red } }</style>{% endif %}<p>b</p>",
        "<p>&#{{ few[0] }}60;</p>",
        "<p>&{{ 'euro' }};</p>",
    ],
)
def test_what_data_may_change_is_inlined_with_the_data(source):
    assert run(source, DATA)[0] is None
    assert content("email", Words("t", "b", html=source), DATA).html


fragments = st.recursive(
    st.sampled_from(
        ["{{ a }}", "text", "<b>", "</b>", "<p>", "</p>", "<br>", "<td>", '<a href="{{ url }}">x</a>', "</div>"]
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map("".join),
        st.builds("<{0}>{1}</{0}>".format, st.sampled_from(["div", "p", "ul", "li", "table", "tr", "td", "b"]), inner),
        st.builds("{{% if {} %}}{}{{% else %}}{}{{% endif %}}".format, st.sampled_from(["yes", "no"]), inner, inner),
        st.builds("{{% for n in few %}}{}{{% endfor %}}".format, inner),
    ),
    max_leaves=12,
)


@given(source=fragments)
def test_no_source_is_inlined_with_its_template_that_would_say_something_else(source):
    css, written = run(source, DATA)
    if css is not None:
        again = inlined(written, Budget(10**9)).html
        assert Events(written).found == Events(again).found  # the parser finds nothing to mend


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        " JaVa\nscript:x",
        "data:text/html,x",
        "file:///etc",
        "\x01javascript:x",  # what no mail may hold is taken out of it later
        "java\u202ascript:x",
        "java\ufdd0script:x",
    ],
)
def test_data_cannot_make_a_link_that_no_mail_may_hold(url):
    html = content("email", Words("t", "b", html='<a href="{{ u }}">x</a><img src="{{ u }}" alt="">'), {"u": url}).html
    assert html is not None
    assert 'href=""' in html
    assert "script:" not in html
    assert "data:text" not in html


def test_media_queries_of_a_template_go_into_the_head_and_concern_its_own_part_only():
    css = """@import url(https://x.test/a.css); @font-face { src: url(x) } /* } */ p.big, h2 { color: red }
        @media (prefers-color-scheme: dark) { p, .big { color: #fff !important; background: url(https://x.test/a) }
          .foot { display: none } } @media print { p { behavior: expression(x) } }"""
    html = content("email", Words("t", "b", html=f"<style>{css}</style><p class=big>{{{{ x }}}}</p>"), {"x": 1}).html
    assert html is not None
    head = html[: html.index("<body")]
    assert (
        "@media (prefers-color-scheme: dark){.content p, .content .big { color: #fff !important } "
        ".content .foot { display: none !important }}" in head
    )
    for gone in ("url(", "@import", "@font-face", "expression", "data-css-inline"):
        assert gone not in html
    assert 'class="big"' in html
    assert "color: red" in html
