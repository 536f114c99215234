"""A decision in words: every rule has a sentence in every language, with what it knows."""

import re
from typing import Any

import pytest
from hypothesis import given

from notifier.core import lifecycle
from notifier.core.decisions import Step
from notifier.core.explain import as_decided, packed, sentence, story, told, unpacked
from notifier.core.facts import Facts
from notifier.core.plan import plan
from notifier.core.reasons import BECAUSE, REASONS
from notifier.core.sentences import DECIDED, SENTENCES
from notifier.ground.languages import language_for
from tests.core.planning import NOON, any_facts

LANGUAGES = [language_for(name) for name in ("en", "de", "fr", "es")]
NAMED = re.compile(r"\{\w+\}")
UNTIL = "2026-01-16T06:00:00.000Z"


@pytest.mark.parametrize("reason", [*REASONS, *BECAUSE, *lifecycle.STATUSES])
def test_every_reason_and_every_status_has_a_sentence(reason: str) -> None:
    said = sentence(Step("any", "email", "any", reason))
    assert said != reason
    assert said[0].isupper()


@pytest.mark.slow
@given(any_facts())
def test_whatever_is_planned_can_be_told(facts: Facts) -> None:
    for step in plan(facts, NOON).trace:
        for language in LANGUAGES:
            said = sentence(step, language.gettext)
            assert said != step.reason, step
            assert not set("[]{}") & set(said), said


_PRESENT = re.compile(r"\b(is|are|has|have|goes|comes|follows|fails|succeeds|cannot|so far)\b")


@pytest.mark.slow
@given(any_facts())
def test_a_decision_that_was_made_is_told_in_the_past_tense(facts: Facts) -> None:
    for step in plan(facts, NOON).trace:
        said = as_decided(step)
        assert not _PRESENT.search(said), said
        assert not set("[]{}") & set(said), said


@pytest.mark.parametrize("key", DECIDED)
def test_the_past_tense_knows_what_the_present_knows(key: str) -> None:
    assert NAMED.findall(DECIDED[key]) == NAMED.findall(SENTENCES[key])


@pytest.mark.slow
@given(any_facts())
def test_what_is_stored_tells_the_same(facts: Facts) -> None:
    trace = plan(facts, NOON).trace
    assert tuple(unpacked(packed(trace))) == trace


TOLD: list[tuple[str, Step, str, str]] = [
    (
        "a choice",
        Step("preference", "email", "pass", "type"),
        "This kind of message was switched on.",
        "Diese Art von Nachricht wurde eingeschaltet.",
    ),
    (
        "an opt-out names the choice",
        Step("preference", "email", "skip", "opted_out", {"because": "category"}),
        "This category was switched off.",
        "Diese Kategorie wurde ausgeschaltet.",
    ),
    (
        "a time",
        Step("quiet", "email", "wait", "quiet_hours", {"until": UNTIL}),
        "These are quiet hours until SEVEN.",
        "Es ist Ruhezeit bis SEVEN.",
    ),
    (
        "a time nobody knows",
        Step("quiet", "email", "wait", "quiet_hours"),
        "These are quiet hours.",
        "Es ist Ruhezeit.",
    ),
    (
        "dropped in quiet hours",
        Step("quiet", "email", "skip", "quiet_hours", {"until": UNTIL}),
        "It came in quiet hours, and such messages are dropped, as chosen.",
        "Sie kam in der Ruhezeit; solche Nachrichten entfallen, wie gewählt.",
    ),
    (
        "over the cap, into a summary",
        Step("digest", "email", "skip", "digested", {"held": "frequency_cap", "until": UNTIL}),
        "The limit for this category has been reached for now; it goes into a summary, due SEVEN.",
        (
            "Das Limit für diese Kategorie ist vorerst erreicht; die Nachricht kommt in eine Zusammenfassung, "
            "fällig am SEVEN."
        ),
    ),
    (
        "a duplicate",
        Step("whole", "*", "skip", "duplicate", {"duplicate_of": "ntf_1"}),
        "The same message came a short time ago: ntf_1.",
        "Dieselbe Nachricht wurde vor Kurzem schon gesendet: ntf_1.",
    ),
    (
        "over a cap",
        Step("cap", "email", "skip", "frequency_cap", {"cap": {"per": "day", "max": 5}}),
        "At most 5 of this category are sent in a day, and that limit has been reached.",
        "Aus dieser Kategorie werden höchstens 5 pro Tag gesendet, und dieses Limit ist erreicht.",
    ),
    (
        "over a cap that names its category",
        Step("cap", "email", "skip", "frequency_cap", {"cap": {"per": "hour", "max": 3, "category": "system"}}),
        "System messages are limited to 3 in an hour, and that limit has been reached.",
        "Systemnachrichten sind auf 3 pro Stunde begrenzt, und dieses Limit ist erreicht.",
    ),
    ("a reason of a version to come", Step("magic", "email", "skip", "bewitched"), "bewitched", "bewitched"),
]


@pytest.mark.parametrize(("step", "english", "german"), [case[1:] for case in TOLD], ids=[case[0] for case in TOLD])
def test_a_line_in_words(step: Step, english: str, german: str) -> None:
    assert [sentence(step, language.gettext, lambda at: {UNTIL: "SEVEN"}[at]) for language in LANGUAGES[:2]] == [
        english,
        german,
    ]


def delivery(channel: str, status: str, reason: str | None = None, **more: Any) -> dict[str, Any]:
    return {"channel": channel, "status": status, "reason": reason, "due_at": None, "detail": {}, **more}


PLANNED = [
    Step("preference", "email", "pass", "default"),
    Step("route", "email", "send", "at_once"),
    Step("address", "sms", "skip", "no_address"),
]


@pytest.mark.parametrize(
    ("case", "now", "lines"),
    [
        ("sent", delivery("email", "sent"), [Step("delivery", "email", "sent", "sent")]),
        ("left out from the first", delivery("sms", "skipped", "no_address"), []),
        (
            "opted out meanwhile",
            delivery("email", "skipped", "opted_out"),
            [Step("delivery", "email", "skipped", "opted_out")],
        ),
        (
            "retried",
            delivery("email", "waiting", "retry", due_at=UNTIL),
            [Step("delivery", "email", "waiting", "retry", {"until": UNTIL})],
        ),
        ("too late", delivery("email", "expired", "expired"), [Step("delivery", "email", "expired", "expired")]),
    ],
)
def test_the_story_goes_on_with_what_became_of_each_delivery(case: str, now: dict[str, Any], lines: list[Step]) -> None:
    assert story(PLANNED, [now]) == [*PLANNED, *lines]


def test_a_refusal_of_everything_is_told_once() -> None:
    whole = [Step("whole", "*", "skip", "duplicate", {"duplicate_of": "ntf_1"})]
    assert story(whole, [delivery("email", "skipped", "duplicate"), delivery("sms", "skipped", "duplicate")]) == whole


def test_a_line_as_the_api_shows_it() -> None:
    assert told([Step("address", "sms", "skip", "no_address", {"disabled_reason": "unregistered"})]) == [
        {
            "rule": "address",
            "channel": "sms",
            "outcome": "skip",
            "reason": "no_address",
            "detail": {"disabled_reason": "unregistered"},
            "sentence": "There is no active address for this channel; one was switched off: unregistered.",
        }
    ]
