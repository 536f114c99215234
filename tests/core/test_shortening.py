"""Shortening keeps within the length, and cuts no character that people see in two."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.core.shortening import cut

ACCENT, JOINER, TONE, HEART = "\u0301", "\u200d", "\U0001f3fd", "\u2764\ufe0f"
texts = st.text(st.sampled_from(f"ab \n{ACCENT}{JOINER}{TONE}{HEART}👨🇩🇪हिé"), max_size=80)


@pytest.mark.parametrize(
    ("text", "longest", "short"),
    [
        ("Your order", None, "Your order"),
        ("Your order", 10, "Your order"),
        ("Your order is here", 12, "Your order…"),
        ("aaaaaaaaa bcdefghij", 10, "aaaaaaaaa…"),
        ("aaa bbbbbbbbbbbbbbb", 10, "aaa bbbbb…"),
        (f"abcde{ACCENT}f", 6, "abcd…"),
        (f"abc👨{JOINER}👩f", 6, "abc…"),
        (f"abc👍{TONE}ef", 5, "abc…"),
        (f"abc{HEART}defg", 5, "abc…"),
        ("🇩🇪🇫🇷🇪🇸", 4, "🇩🇪…"),
        ("हिन्दी", 2, "…"),
        (f"a{ACCENT * 100}", 60, f"a{ACCENT * 58}…"),  # no writing: cut all the same
    ],
)
def test_what_belongs_together_stays_together(text: str, longest: int | None, short: str) -> None:
    assert cut(text, longest) == short


@given(texts, st.integers(1, 80))
def test_nothing_is_longer_than_it_may_be_and_what_fits_is_left_alone(text: str, longest: int) -> None:
    short = cut(text, longest)
    assert len(short) <= longest
    assert short == text if len(text) <= longest else (short.endswith("…") and text.startswith(short[:-1]))
