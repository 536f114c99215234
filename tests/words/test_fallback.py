"""Which words are taken: the reader's language goes before the channel's own wording."""

import pytest

from notifier.core.message import Content
from notifier.core.wording import Words
from notifier.words.fallback import fall_backs
from notifier.words.render import render
from tests.words.rendering import request, source


@pytest.mark.parametrize(
    ("locale", "tags"),
    [
        ("pt-BR", ("pt-BR", "pt", "en")),
        ("pt_br", ("pt-BR", "pt", "en")),
        ("zh-hant-tw", ("zh-Hant-TW", "zh-Hant", "zh", "en")),
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
    assert result == Content(title="t", body="t\nany pt-BR")


def test_without_english_any_language_is_better_than_none():
    assert render([request("inapp", source({("inapp", "nl"): Words("Hallo", "Dag")}), locale="fr")]) == [
        Content(title="Hallo", body="Dag")
    ]
