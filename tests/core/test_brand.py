"""Colours that can be read, and whose brand a mail has."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.core.brand import ENOUGH, Brand, as_text, contrast, is_colour, text_on

COLOURS = st.integers(0, 0xFFFFFF).map("#{:06x}".format)
ACME = Brand("Acme", "https://acme.test/logo.png", "#2456d6", "1 Road\nTown")


@pytest.mark.parametrize(
    ("colour", "ink", "text"),
    [
        ("#2456d6", "#ffffff", "#2456d6"),
        ("#ffd400", "#000000", "#846e00"),
        ("#ffffff", "#000000", "#6b6b6b"),
        ("#000000", "#ffffff", "#000000"),
    ],
)
def test_a_bright_colour_has_black_on_it_and_is_darkened_as_text(colour: str, ink: str, text: str) -> None:
    assert (text_on(colour), as_text(colour)) == (ink, text)


@given(COLOURS)
def test_whatever_is_written_with_a_colour_or_on_it_can_be_read(colour: str) -> None:
    assert is_colour(as_text(colour))
    assert contrast(text_on(colour), colour) >= ENOUGH
    assert min(contrast(as_text(colour), ground) for ground in ("#ffffff", "#f2f4f7")) >= ENOUGH


@pytest.mark.parametrize("text", ["", "red", "#fff", "#12345g", "#123456;", "#123456\n", "#１23456", "x#123456"])
def test_nothing_but_six_digits_is_a_colour(text: str) -> None:
    assert not is_colour(text)


@pytest.mark.parametrize(
    ("own", "shown"),
    [
        (Brand(), ACME),
        (Brand(accent="#b42318"), Brand("Acme", ACME.logo, "#b42318", ACME.address)),
        (Brand(name="Shop"), Brand("Shop", None, ACME.accent, ACME.address)),
        (
            Brand("Shop", "https://shop.test/l.png", address="2 Lane"),
            Brand("Shop", "https://shop.test/l.png", ACME.accent, "2 Lane"),
        ),
    ],
    ids=["nothing of its own", "a colour", "a name, and so no logo of another's", "all but the colour"],
)
def test_a_producer_takes_from_the_installation_what_it_has_not_itself(own: Brand, shown: Brand) -> None:
    assert own.over(ACME) == shown
