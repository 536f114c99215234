"""A decision in words: one line for each step of a plan, and one for the result of each delivery.

Called for dry runs, stored decisions, the console's story and the page `/why`. `translate` puts a sentence
into the reader's language, `when` a time (text, as in the API) into their zone and language: this module knows neither.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from notifier.core.decisions import Step
from notifier.core.lifecycle import SKIPPED
from notifier.core.sentences import DECIDED, SENTENCES

_OPTIONAL = re.compile(r"\[([^\]]*)\]")
_NAMED = re.compile(r"\{(\w+)\}")
_PAST = {SENTENCES[key]: words for key, words in DECIDED.items()}


def sentence(step: Step, translate: Callable[[str], str] = str, when: Callable[[str], str] = str) -> str:
    """A step of a decision that an older version stored may have no words any more: its bare reason has to do then."""
    words = next((SENTENCES[key] for key in _keys(step) if key in SENTENCES), None)
    if words is None:
        return step.reason
    known = {
        name: when(value) if name == "until" else str(value)
        for name, value in {**step.detail, **step.detail.get("cap", {})}.items()
    }
    text = translate(words)
    text = _OPTIONAL.sub(lambda part: part[1] if known.keys() >= set(_NAMED.findall(part[1])) else "", text)
    return _NAMED.sub(lambda name: known[name[1]], text)


def as_decided(step: Step, when: Callable[[str], str] = str) -> str:
    """The sentence in English, and in the past tense: for a step of a decision that was made some time ago."""
    return sentence(step, lambda words: _PAST.get(words, words), when)


def _keys(step: Step) -> tuple[str, ...]:
    """The keys under which its words may stand, the most special first."""
    cap = step.detail.get("cap", {})
    kind = step.detail.get("because") or step.detail.get("held") or cap.get("per")
    outcome = "skip" if step.outcome == SKIPPED else step.outcome
    return (
        f"{step.rule}.{step.reason}",
        f"{step.reason}.{kind}.{cap.get('category')}",
        f"{step.reason}.{kind}",
        f"{step.reason}.{outcome}",
        step.reason,
    )


def told(steps: Iterable[Step], when: Callable[[str], str] = str) -> list[dict[str, Any]]:
    """The lines as the API shows them: `{"rule", "channel", "outcome", "reason", "detail", "sentence"}`."""
    return [
        {
            "rule": step.rule,
            "channel": step.channel,
            "outcome": step.outcome,
            "reason": step.reason,
            "detail": dict(step.detail),
            "sentence": sentence(step, when=when),
        }
        for step in steps
    ]


def packed(steps: Iterable[Step]) -> list[list[Any]]:
    """The stored form: without names, and without empty details."""
    return [
        [step.rule, step.channel, step.outcome, step.reason, *([dict(step.detail)] if step.detail else [])]
        for step in steps
    ]


def unpacked(stored: Sequence[Sequence[Any]] | None) -> list[Step]:
    return [Step(*line[:4], *line[4:5]) for line in stored or ()]


def story(steps: Iterable[Step], deliveries: Iterable[Mapping[str, Any]]) -> list[Step]:
    """The decision, and the result of each delivery (API.md, Delivery) since, by its own status and reason.

    A channel that was left out from the first is mentioned once.
    """
    decided = list(steps)
    said = {(step.channel, step.reason) for step in decided}
    followed = [
        d for d in deliveries if d["status"] != SKIPPED or not said & {(d["channel"], d["reason"]), ("*", d["reason"])}
    ]
    return [
        *decided,
        *(Step("delivery", d["channel"], d["status"], d["reason"] or d["status"], _known(d)) for d in followed),
    ]


def _known(delivery: Mapping[str, Any]) -> dict[str, Any]:
    until = {"until": delivery["due_at"]} if delivery["due_at"] else {}
    return {**delivery["detail"], **until}  # a planned delivery may have been put off since
