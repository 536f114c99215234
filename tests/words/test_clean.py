"""What may leave in a message. Most of it is tested by what `render` makes (test_render.py)."""

import time

import pytest

from notifier.words.clean import many_lines, text_of_html


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
