"""What may leave in a message. Most of it is tested by what `render` makes (test_render.py)."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.core.segments import is_gsm, with_plain_signs
from notifier.words.clean import cut_for_sms, many_lines, text_of_html


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("a \t\nb  ", "a\nb"),
        ("a  b", "a  b"),
        ("  a\n \n\t\n b ", "a\n\n b"),
        ("a" + " " * 100_000 + "b", "a" + " " * 100_000 + "b"),
    ],
    ids=["at line ends", "within a line", "empty lines", "a very long run"],
)
def test_spaces_before_a_line_end_go_in_time_with_the_length_of_the_text(text: str, clean: str) -> None:
    begun = time.process_time()

    assert many_lines(text) == clean
    assert time.process_time() - begun < 5


SMS_TEXTS = st.one_of(
    st.text(st.sampled_from("ab äñÇ€^\n."), max_size=300),
    st.text(st.sampled_from("ab …’éж😀€"), max_size=300),
    st.text(max_size=200),
)


@given(SMS_TEXTS, st.integers(3, 200))
def test_shortening_an_sms_never_leaves_its_alphabet(text: str, longest: int) -> None:
    short = cut_for_sms(text, longest)
    assert len(short) <= longest
    assert is_gsm(short) or not is_gsm(text)
    if len(text) <= longest and is_gsm(text):
        assert short == text
    # Nor does an ellipsis leave it, when only what was cut off is outside.
    assert is_gsm(short) or not is_gsm(with_plain_signs(short))


def test_an_sms_is_cut_in_its_alphabet() -> None:
    assert cut_for_sms("Your order is on its way", 14) == "Your order..."
    assert cut_for_sms("Ваш заказ уже в пути", 16) == "Ваш заказ уже…"
    assert cut_for_sms("Your order is on its way 😀", 14) == "Your order..."


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ('<p>Hello <img src="https://x.test/a.png" alt="Alice &amp; Bob"></p>', "Hello Alice & Bob"),
        ('<a href="https://x.test/"><img alt=\'View "order"\' src=a.png></a>', 'View "order" (https://x.test/)'),
        ("<p>Hello <img src=a.png alt=Alice /></p>", "Hello Alice"),
        ('<p>Hello<img src="dot.gif" alt=""><img src="dot.gif"></p>', "Hello"),
        ('<IMG ALT="A&lt;B" data-alt="no"> and <img data-alt="no">', "A<B and"),
        ('<a data-href="https://no.test/" href="https://x.test/">Look</a>', "Look (https://x.test/)"),
    ],
    ids=["in a sentence", "in a link", "without quotes", "decoration", "capitals", "another attribute"],
)
def test_the_plain_text_of_a_mail_says_what_its_images_show(html: str, text: str) -> None:
    assert text_of_html(html) == text
