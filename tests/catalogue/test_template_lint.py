"""What the editor says of a mail, beside its faults."""

import pytest

from notifier.catalogue import load
from notifier.catalogue.template_check import About
from notifier.catalogue.template_lint import support, warnings
from notifier.core.wording import Words
from tests.words.rendering import source_of

ABOUT = About("greeting", {"name": "x" * 100, "many": ["a" * 20_000] * 6})


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (Words("t", "b", html="<p>{{ name }}</p>"), []),
        (
            Words("t", "b", html='<p>a\n</p><div style="display: grid">x</div>'),
            [("html", "dropped_by_mail_programs", 2)],
        ),
        (
            Words("t", "b", html="<style>p { position: fixed }</style><p>a</p>"),
            [("html", "dropped_by_mail_programs", 1)],
        ),
        (Words("t", "b", html="<style>p { color: red }</style>position: fixed"), []),
        (Words("t", "b", html="<p>{{\n\n name }}</p><video></video>"), [("html", "dropped_by_mail_programs", 3)]),
        (Words("t", "b", html='<img src="https://x.test/a.png">'), [("html", "image_without_alt", 1)]),
        (Words("t", "b", html='<img src="https://x.test/a.png" alt="">'), []),
        (Words("t", "b", html='<a href="https://evil.test/">www.bank.test</a>'), [("html", "link_to_another_host", 1)]),
        (Words("t", "b", html='<a href="https://www.bank.test/x">https://bank.test</a>'), []),
        (Words("t", "b", html='<a href="{{ name }}">bank.test</a>'), []),
        (Words("t", "b", subject="{{ name }}"), [("subject", "long_subject", None)]),
        (Words("{{ name }}", "b"), [("title", "long_subject", None)]),
        (Words("t", "b", html="{% for n in many %}<p>{{ n }}</p>{% endfor %}"), [("html", "clipped_by_gmail", None)]),
        (Words("t", html='<img src="https://x.test/a.png" alt="">'), [("body", "no_text", None)]),
    ],
)
def test_what_is_worth_a_look_is_said_with_its_line(words, expected):
    found = warnings({("email", "en"): words}, ABOUT)
    assert [(one.pointer, one.code, one.line) for one in found] == [
        (f"/contents/0/{field}", code, line) for field, code, line in expected
    ]


def test_only_mails_are_looked_at():
    assert warnings({("sms", "en"): Words("{{ name }}", html="<video></video>")}, ABOUT) == []


def test_the_catalogue_gives_no_reason_for_a_warning():
    for entry in load():
        assert warnings(source_of(entry).contents, About(entry.key, entry.sample, entry.category)) == []


def test_the_data_name_their_source():
    assert "caniemail" in support()["source"]
    assert support()["declarations"]["display:grid"] == ["Outlook"]
