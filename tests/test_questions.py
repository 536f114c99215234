"""docs/questions.md answers every question of the papers that the design follows, and names what shows it."""

import re

from tests.running import ROOT
from tests.test_docs import is_test

# By paper, in their order: what each asks or leaves to be clarified, and what it calls a trade-off or an enhancement
QUESTIONS = {
    "An e-commerce platform": ("urgent", "tried again", "billions", "managed", "patterns", "twice", "third-party"),
    "A real-time system": ("channels", "real time", "scale", "dead ones"),
    "Order notifications": (
        *("dies", "enforced", "retries", "black friday", "is out", "same notification twice"),
        *("misuse", "within a second", "whatsapp", "end to end"),
    ),
    "A system for many regions": (
        *("repeat", "million people", "consistent", "order", "cdn", "regions"),
        *("learn which channel", "depend on the priority", "was read", "campaign"),
    ),
    "A hundred million users": (
        *("duplicates", "priorities", "respected", "fails", "tracked", "millions"),
        *("at most once", "one queue", "templates"),
    ),
}
_PAGE = (ROOT / "docs" / "questions.md").read_text()
_SHOWN = re.compile(r"`([\w/.]+)` · `([\w/]+\.py)::(\w+)`")


def test_every_question_is_there_in_its_order() -> None:
    papers = re.split(r"^## ", _PAGE, flags=re.MULTILINE)[1:]
    assert [paper.partition("\n")[0] for paper in papers] == list(QUESTIONS)
    for paper in papers:
        asked = re.findall(r"^### (.+)$", paper, re.MULTILINE)
        words = QUESTIONS[paper.partition("\n")[0]]
        assert len(asked) == len(words)
        assert [
            (word, question) for word, question in zip(words, asked, strict=True) if word not in question.lower()
        ] == []


def test_each_is_answered_briefly_and_shown_by_a_file_and_a_test() -> None:
    for part in re.split(r"^### ", _PAGE, flags=re.MULTILINE)[1:]:
        question, _, answer = part.partition("\n")
        lines = answer.partition("\n## ")[0].strip().splitlines()
        assert 3 <= len(lines) <= 8, question
        shown = _SHOWN.fullmatch(lines[-1])
        assert shown is not None, question
        file, test, name = shown.groups()
        assert (ROOT / "notifier" / file).exists() or (ROOT / file).exists(), question
        assert is_test(test, name), question
