"""Which words are taken: the reader's language goes before the channel's own wording."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notifier.core.message import Content
from notifier.core.wording import Words
from notifier.words.fallback import fall_backs, lineage
from notifier.words.mail_html import mirrored
from notifier.words.render import render
from tests.words.rendering import request, source


@pytest.mark.parametrize(
    ("locale", "tags"),
    [
        ("pt-BR", ("pt-BR", "pt", "en")),
        ("pt_br", ("pt-BR", "pt", "en")),
        ("zh-hant-tw", ("zh-Hant-TW", "zh-TW", "zh-Hant", "en")),
        ("EN", ("en",)),
        ("", ("en",)),
        (None, ("en",)),
    ],
)
def test_a_locale_falls_back_to_its_language_and_then_to_english(locale, tags):
    assert fall_backs(locale) == tags


def test_of_an_endless_locale_the_beginning_is_read():
    assert fall_backs("-".join(["a"] * 100_000)) == fall_backs("-".join(["a"] * 18))


WORDED = source(
    {
        ("sms", "en"): Words("t", "sms en"),
        ("*", "en"): Words("t", "any en"),
        ("sms", "pt"): Words("t", "sms pt"),
        ("*", "pt-BR"): Words("t", "any pt-BR"),
    }
)


@pytest.mark.parametrize(
    ("channel", "locale", "body"),
    [
        ("sms", "en", "sms en"),
        ("sms", "en-GB", "sms en"),
        ("push", "en", "any en"),
        ("sms", "pt", "sms pt"),
        ("sms", "pt-PT", "sms pt"),
        ("push", "pt-BR", "any pt-BR"),
        ("push", "pt-PT", "any en"),
        ("sms", "fr", "sms en"),
        ("sms", None, "sms en"),
    ],
)
def test_the_words_are_those_of_the_readers_language_and_then_of_the_channel(channel, locale, body):
    result = render([request(channel, WORDED, locale=locale)])[0]
    assert isinstance(result, Content)
    assert result.body == body


def test_words_for_any_channel_in_the_readers_language_go_before_the_channels_own_in_another():
    result = render([request("sms", WORDED, locale="pt-BR")])[0]
    assert result == Content(title="t", body="t\nany pt-BR", language="pt-BR")


def test_without_english_any_language_is_better_than_none():
    assert render([request("inapp", source({("inapp", "nl"): Words("Hallo", "Dag")}), locale="fr")]) == [
        Content(title="Hallo", body="Dag", language="nl")
    ]


def test_of_no_language_of_the_reader_another_script_of_it_comes_last():
    words = source({("*", "zh-CN"): Words("简", "b"), ("*", "zz"): Words("z", "b")})
    assert render([request("inapp", words, locale="zh-TW")])[0].title == "z"


MARK = re.compile(r"«([A-Za-z0-9-]+)»")
LOCALES = ("en", "de", "de-AT", "es", "es-419", "zh", "zh-Hant", "zh-TW", "sr", "sr-Latn", "ar", "pt-PT")
_FIELDS = st.fixed_dictionaries({name: st.booleans() for name in ("title", "body", "subject", "html", "action_label")})
_CONTENTS = st.dictionaries(
    st.tuples(st.sampled_from(["*", "email", "sms", "inapp"]), st.sampled_from(LOCALES)), _FIELDS, max_size=8
)


@pytest.mark.slow
@settings(deadline=None)
@given(
    st.sampled_from(["email", "sms", "inapp", "push"]),
    st.sampled_from([*LOCALES, "es-MX", "zh-CN", "zh-HK", "sr-ME", "pt-BR", "fr", "ar-EG", None]),
    _CONTENTS,
    st.sets(st.sampled_from(LOCALES)),
)
def test_a_message_is_in_one_language(channel, locale, contents, titled):
    """Each text carries the mark of its language; whatever is missing, there is never a second mark in one message."""
    template = source(
        {
            place: Words(
                **{"title": "", "action_url": "https://shop.test/1"}
                | {name: f"«{place[1]}» text" for name, is_there in fields.items() if is_there}
            )
            for place, fields in contents.items()
        }
    )
    titles = {tag: f"«{tag}» type" for tag in titled}
    message = render([request(channel, template, locale=locale, titles=titles)])[0]
    assert isinstance(message, Content)
    texts = (message.title, message.body, message.subject, message.action_label, message.html)
    marks = set(MARK.findall(" ".join(filter(None, texts))))
    spoken = {tag for tag in marks if tag not in lineage(message.language)}  # de-AT may call a type by its German name
    assert spoken == set()
    if message.html:
        assert f'<html lang="{message.language}"' in message.html


@pytest.mark.parametrize(
    ("reader", "written", "day"),
    [
        ("de-AT", "de", "1. Jänner 2027"),
        ("de-AT", "en", "January 1, 2027"),
        ("es-MX", "es-419", "1 de enero de 2027"),
        ("fr", "de", "1. Januar 2027"),
        ("zh-TW", "zh-Hant", "2027年1月1日"),
        ("ht", "fr", "1 janvier 2027"),
        ("ar-EG", "ar", "1 يناير 2027"),
    ],
)
def test_dates_follow_the_language_of_the_words_in_the_way_of_the_readers_country(reader, written, day):
    words = source({("inapp", written): Words("t", "{{ on|date('long') }}")})
    assert render([request("inapp", words, {"on": "2027-01-01"}, locale=reader)])[0].body == day


def test_a_mail_from_right_to_left_is_laid_out_so():
    words = Words("مرحبا", subject="مرحبا", html="<p>نص</p><ul><li>١</li></ul>", action_url="https://shop.test/1")
    links = {"why_url": "https://n.test/p", "titles": {"en": "Greeting"}}
    mail = render([request("email", source({("*", "ar"): words}), locale="ar-EG", **links)])[0].html
    assert '<html lang="ar" dir="rtl"' in mail
    assert '<body class="page" dir="rtl"' in mail
    assert "text-align: right" in mail.partition('class="inside"')[2].partition(">")[0]
    assert "padding: 0 22px 0 0" in mail  # of the list
    assert "Greeting" not in mail, "its type has no Arabic name"
    assert ">shop.test</a>" in mail, "there is no Arabic word for the button"
    foot = re.search(r'<td[^>]*class="foot"[^>]*>', mail)[0]
    assert 'lang="en"' in foot, "what is not translated says so"
    assert 'dir="ltr"' in foot


def test_mirrored_styles_change_places():
    css = "a { margin: 1px 2px 3px 4px; padding-left: 5px; border-radius: 0 8px 8px 0; text-align: left; }"
    assert mirrored(css) == (
        "a { margin: 1px 4px 3px 2px; padding-right: 5px; border-radius: 8px 0 0 8px; text-align: right; }"
    )
    assert mirrored(mirrored(css)) == css
