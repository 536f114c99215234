"""Whole mails as they leave, kept beside this file so that a diff shows the mail.

After a change that is meant: `WRITE_GOLDEN=1 .venv/bin/python -m pytest tests/words/test_render_golden.py`, then
read the diff.
"""

import os
from pathlib import Path

import pytest

from notifier.catalogue import load
from notifier.core.message import Content
from notifier.words.render import render
from tests.words.rendering import UNSUBSCRIBE, WHY, request, source_of

FOLDER = Path(__file__).parent / "golden"
TYPES = {entry.key: entry for entry in load()}


@pytest.mark.parametrize("locale", ["en", "de", "fr", "es"])
@pytest.mark.parametrize(
    "key", ["order_confirmed", "promotional_offer", "security_alert", "one_time_code", "comment", "social_digest"]
)
def test_a_mail_is_as_it_was(key: str, locale: str):
    entry = TYPES[key]
    unsubscribe = None if entry.category == "transactional" else UNSUBSCRIBE
    wanted = request(
        "email",
        source_of(entry),
        entry.sample,
        locale=locale,
        type=key,
        titles=entry.titles,
        category=entry.category,
        why_url=WHY,
        unsubscribe_url=unsubscribe,
    )
    mail = render([wanted])[0]
    assert isinstance(mail, Content)
    parts = {"html": mail.html or "", "txt": f"{mail.subject}\n\n{mail.body}\n"}
    for ending, text in parts.items():
        path = FOLDER / f"{key}.{locale}.{ending}"
        if os.environ.get("WRITE_GOLDEN"):
            FOLDER.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8")
