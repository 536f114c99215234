"""The template language: what it offers, what it refuses, and that no template can hang or leak."""

from zoneinfo import ZoneInfo

import pytest

from notifier.ground.languages import locale_for
from notifier.words.formats import Reader
from notifier.words.language import GLOBALS, Budget, Compiled, TemplateFault, check_source

READER = Reader(locale_for("en"), ZoneInfo("Europe/Berlin"))


def run(source: str, *, is_html: bool = False, **data: object) -> str:
    return Compiled(source, is_html=is_html).run({**GLOBALS, **data, "data": data}, READER, Budget(20_000))


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("fine", None),
        ("{{ order_id }}", None),
        ("one\ntwo {{ }}", 2),
        ("{% if a %}\n", 1),
        ("a\n\n{{ a|nonsense }}", 3),
        ("{% include 'x' %}", 1),
        ("{% import 'x' as y %}", 1),
        ("{% extends 'x' %}", 1),
        ("{% block a %}{% endblock %}", 1),
        ("{% macro a() %}{% endmacro %}", 1),
        ("a\n{% autoescape false %}{{ a }}{% endautoescape %}", 2),
        ("{% set a %}x{% endset %}", 1),
        ("{% filter upper %}x{% endfilter %}", 1),
        ("{% for a in b recursive %}{{ loop(a) }}{% endfor %}", 1),
        ("{{ 9**9**9 }}", 1),
        ("{{ a|safe }}", 1),
        ("{{ a|attr('x') }}", 1),
        ("{{ a|map('upper') }}", 1),
        ("{{ a is filter }}", 1),
    ],
)
def test_a_bad_source_is_told_with_its_line(source, line):
    fault = check_source(source)
    assert (fault.line if fault else None) == line


def test_a_fault_names_what_is_not_available():
    assert str(check_source("{% include 'x' %}")) == "include is not available in message templates"


@pytest.mark.parametrize(
    "source",
    [
        "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
        "{{ " + "9" * 9000 + " }}",
        "x" * 100_001,
        "{{ x }}" * 5_001,
        "{{ [" + "x," * 5_001 + "] }}",
    ],
    ids=["deep", "long number", "long", "many", "wide"],
)
def test_a_monstrous_source_is_a_fault_too(source):
    assert isinstance(check_source(source), TemplateFault)


ESCAPES = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ x['__class__'] }}",
    "{{ x.__init__.__globals__ }}",
    "{{ range.__globals__ }}",
    "{{ self }}",
    "{{ self.__init__ }}",
    "{{ '%s'.format(x) }}",
    "{{ '{0.__class__}'.format(x) }}",
    "{{ '{x.__class__}'.format_map(data) }}",
    "{{ x.upper() }}",
    "{{ items.append(1) }}",
    "{{ data.update({'a': 1}) }}",
    "{{ data.keys() }}",
    "{{ loop.__class__ }}",
    "{% for a in [1] %}{{ loop._iterable }}{% endfor %}",
    "{% for a in [1] %}{{ loop.__init__ }}{% endfor %}",
    "{{ cycler }}",
    "{{ lipsum }}",
    "{{ namespace }}",
    "{{ x() }}",
    "{{ [x]|join(attribute='__class__') + missing }}",
]


@pytest.mark.parametrize("source", ESCAPES)
def test_no_way_leads_out_of_the_sandbox(source):
    with pytest.raises(TemplateFault):
        run(source, x="text", items=[1])


# 2 to the power of 50 numbers
DOUBLED = "{% set a0 = (1, 2) %}" + "".join(f"{{% set a{n} = (a{n - 1}, a{n - 1}) %}}" for n in range(1, 50))

HANGS = [
    "{% for i in range(10**9) %}x{% endfor %}",
    "{% for i in range(1000000000) %}x{% endfor %}",
    "{% for i in range(1000) %}{% for j in range(1000) %}{% endfor %}{% endfor %}",
    "{% for i in many %}{% for j in many %}x{% endfor %}{% endfor %}",
    "{{ 'x' * 1000000000 }}",
    "{{ many * 1000000 }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ 10**10**10 }}",
    "{{ 1.5|round(1000000000) ~ missing }}",
    "{{ many|join(big) }}",
    "{{ big|replace('x', big) }}",
    "{% for i in range(100) %}{{ big }}{% endfor %}",
    "{% set a = big ~ big %}" + "{% set a = a ~ a %}" * 40 + "{{ a }}",
    "{% set a = big + big %}" + "{% set a = a + a %}" * 40 + "{{ a }}",
    "{% set n = 1000000000000 %}" + "{% set n = n * n %}" * 40 + "{{ n }}",
    "{{ 'x'|center(1000000000) }}",
    "{% for i in range(1000) %}{% if big|upper|lower|title %}{% endif %}{% endfor %}",
    "{% for i in range(1000) %}" + "{% if i %}{% endif %}" * 1_600 + "{% endfor %}",
    "{% for i in range(1000) %}{% if big[::-1] %}{% endif %}{% endfor %}",
    "{% for i in range(1000) %}{% if 'y' in big %}{% endif %}{% endfor %}",
    "{% for i in range(1000) %}{% for j in many if false %}{% endfor %}{% endfor %}",
    "{% if " + "~".join(["big"] * 4_000) + " %}{% endif %}",
    "{{ [" + "big, " * 4_000 + "]|join|length }}",
    DOUBLED + "{{ a49 == a49 }}",
    DOUBLED + "{{ a49 in {} }}",
    DOUBLED + "{{ a49 is in {} }}",
    DOUBLED + "{{ {a49: 1}|length }}",
    "{% for i in many|_counted(-1000000) %}{% endfor %}",
]


@pytest.mark.parametrize("source", HANGS)
def test_no_template_can_hang_or_fill_the_memory(source):
    with pytest.raises(TemplateFault):
        run(source, many=[1] * 5000, big="x" * 50_000)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{% if eta %}{{ eta }}{% else %}none{% endif %}", "none"),
        ("{{ eta or 'soon' }}", "soon"),
        ("{{ eta|default('soon') }}", "soon"),
        ("{{ a.b.c or 'deep' }}", "deep"),
        ("{% if order.missing.deeper %}x{% endif %}", ""),
        ("{{ eta is defined }}", "false"),
        ("{{ nothing }}", ""),
        ("{{ order }}{{ numbers }}", ""),
        ("{{ order.items }}", "3"),
        ("{{ order['items'] }}", "3"),
        ("{{ numbers[1] }} {{ numbers|length }} {{ numbers|first }} {{ numbers|last }}", "2 3 1 3"),
        ("{{ [order.items, missing, nothing, '', 'x']|join(', ') }}", "3, x"),
        ("{{ [{'name': 'a'}, {'name': 'b'}, {}]|join('+', 'name') }}", "a+b"),
        ("{% for n in numbers %}{{ n }}{% if not loop.last %},{% endif %}{% endfor %}", "1,2,3"),
        ("{% for key, value in order|items %}{{ key }}={{ value }}{% endfor %}", "items=3"),
        ("{% for i in range(3) %}{{ loop.cycle('a', 'b') }}{% endfor %}", "aba"),
        ("{{ 'a long sentence'|truncate(7) }}", "a long…"),
        ("{{ 'a&b c'|urlencode }}", "a%26b%20c"),
        ("{{ 7 * 6 + 1 - 3 }} {{ 7 // 2 }} {{ 7 % 4 }} {{ 2.345|round(2) }}", "40 3 3 2.35"),
        ("{{ true }}", "true"),
        ("{{ numbers|string }}{{ order|upper }}{{ nothing|e }}", ""),
        (DOUBLED + "{{ a49|string }}{{ a49|length }}{{ order[a49] is defined }}", "2false"),
        ("{% if x == '&' and x in ['&'] and 'a' < 'b' %}{{ numbers[1:]|length }}{% endif %}", "2"),
        ("{% set word = 'a' %}{{ {word: 1, 'b': 2}|items|length }}{{ 1 ~ true ~ nothing }}", "21true"),
        ("{{ '<b>' ~ x }}", "<b>&"),
        ("plain\n", "plain"),
    ],
)
def test_what_a_template_can_say(source, text):
    assert run(source, order={"items": 3}, numbers=[1, 2, 3], nothing=None, x="&") == text


@pytest.mark.parametrize(
    "source",
    [
        "{{ missing }}",
        "{{ missing ~ 'x' }}",
        "{{ missing|date }}",
        "{{ missing + 1 }}",
        "{% for a in missing %}{% endfor %}",
    ],
)
def test_missing_data_is_never_printed(source):
    with pytest.raises(TemplateFault, match="'missing' is undefined"):
        run(source)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ x }}", "&lt;i&gt;"),
        ("{{ '<b>' ~ x }}", "&lt;b&gt;&lt;i&gt;"),
        ("{{ x|e }}", "&lt;i&gt;"),
        ("{{ [x, x|e]|join('<br>') }}", "&lt;i&gt;&lt;br&gt;&lt;i&gt;"),
        ("{{ (x|e)|replace('&lt;', '<') }}", "&lt;i&amp;gt;"),
        ("{{ (x|e)|upper }}", "&amp;LT;I&amp;GT;"),
        ("{{ x|truncate(2) }}", "&lt;…"),
        ("{{ x|default('')|trim }}", "&lt;i&gt;"),
        ("{{ missing or x }}", "&lt;i&gt;"),
        ("{{ ('a\n\nb<\nc'|paragraphs) ~ '' }}", "<p>a</p><p>b&lt;<br>c</p>"),
        ("<b>{{ 1 }}</b>", "<b>1</b>"),
    ],
)
def test_html_is_escaped_on_every_way_through_the_filters(source, text):
    assert run(source, is_html=True, x="<i>") == text


def test_a_run_that_fails_tells_the_line():
    with pytest.raises(TemplateFault) as caught:
        run("one\ntwo\n{{ 1 / zero }}", zero=0)
    assert (caught.value.line, caught.value.message) == (3, "division by zero")
