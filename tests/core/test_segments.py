"""How an SMS is counted and divided."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.core.segments import Segments, is_gsm, parts, segments, with_plain_signs

GSM = "@£$¥èéùìòÇØøÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ!\"#¤%&'()*+,-./0189:;<=>?¡AZÄÖÑÜ§¿azäöñüà \n\r"
ESCAPED = "^{}\\[~]|€\f"
texts = st.one_of(
    st.text(st.sampled_from(GSM + ESCAPED), max_size=700),
    st.text(max_size=300),
    st.text(st.sampled_from("a€😀ж"), max_size=400),
)


def places(text: str) -> int:
    """Told independently of the code: an encoder of another's for UTF-16, escapes counted by hand."""
    return (
        len(text) + sum(map(text.count, ESCAPED))
        if is_gsm(text)
        else len(text.encode("utf-16-le", "surrogatepass")) // 2
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", (1, 0, "GSM-7")),
        ("a" * 160, (1, 160, "GSM-7")),
        ("a" * 161, (2, 161, "GSM-7")),
        ("€" * 80, (1, 160, "GSM-7")),
        ("€" * 81, (2, 162, "GSM-7")),
        ("€" * 76 * 2, (2, 304, "GSM-7")),
        ("€" * 153, (3, 306, "GSM-7")),  # 306 places are two parts, but each holds 76 of these
        ("a" * 152 + "€" + "a" * 152, (3, 306, "GSM-7")),
        ("a" * 306, (2, 306, "GSM-7")),
        ("a" * 307, (3, 307, "GSM-7")),
        ("ж" * 70, (1, 70, "UCS-2")),
        ("ж" * 71, (2, 71, "UCS-2")),
        ("😀" * 35, (1, 70, "UCS-2")),
        ("😀" * 67, (3, 134, "UCS-2")),  # 33 a part
        ("ж" * 66 + "😀" + "ж" * 66, (3, 134, "UCS-2")),
    ],
)
def test_segments_are_counted_as_networks_do(text: str, expected: tuple[int, int, str]) -> None:
    assert segments(text) == Segments(*expected)


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("Grüße aus Köln, ÄÖÜ ß", True),
        ("¿Dónde está el niño?", False),  # á and ó are not in the basic alphabet
        ("¿Que hay? ¡Nada! ñ Ñ", True),
        ("è é ù ì ò à Ç", True),
        ("garçon, français", False),  # of the two cedillas only the capital one is
        ("ê â î ô", False),
        ("Øre, Åge, æble", True),
        ("ğ ş ı İ", False),
        ("Zażółć gęślą jaźń", False),
        ("ΔΦΓΛΩΠΨΣΘΞ", True),
        ("αβγ", False),
        ("^{}\\[~]|€", True),
        ("`", False),
        ("a\u0308", False),
    ],
)
def test_which_national_characters_are_in_the_basic_alphabet(text: str, fits: bool) -> None:
    assert is_gsm(text) is fits


@given(texts)
def test_parts_are_the_whole_text_and_none_is_too_long(text: str) -> None:
    divided, longest = parts(text), (160, 153) if is_gsm(text) else (70, 67)
    assert "".join(divided) == text
    if len(divided) == 1:
        assert places(text) <= longest[0]
        return
    count = (lambda part: len(part) + sum(map(part.count, ESCAPED))) if is_gsm(text) else places_of_utf16
    assert all(0 < count(part) <= longest[1] for part in divided)
    # No character of the next one would have fitted.
    assert all(count(part + following[0]) > longest[1] for part, following in pairwise(divided))


def places_of_utf16(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


@given(texts)
def test_the_count_is_that_of_the_parts(text: str) -> None:
    assert segments(text) == Segments(len(parts(text)), places(text), "GSM-7" if is_gsm(text) else "UCS-2")


@given(texts)
def test_signs_of_our_own_leave_gsm_no_more_than_the_rest(text: str) -> None:
    rest = text.translate(dict.fromkeys(map(ord, "…\u2019\u2212")))
    assert is_gsm(with_plain_signs(f"{text}… 1\u2019000 \u22125")) is is_gsm(rest)
