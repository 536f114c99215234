"""How an SMS is counted and divided."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.core.segments import Price, Segments, beyond_gsm, is_gsm, parts, segments, sms_text

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


SMS_TEXTS = st.one_of(
    st.text(st.sampled_from("ab äñÇ€^\n."), max_size=300),
    st.text(st.sampled_from("ab …’éж😀€“”–\u0301"), max_size=300),
    st.text(max_size=200),
)


@given(SMS_TEXTS, st.integers(3, 200), st.booleans())
def test_shortening_an_sms_never_leaves_its_alphabet(text: str, longest: int, is_plain: bool) -> None:
    short = sms_text(text, longest, is_plain=is_plain)
    assert len(short) <= longest
    assert is_gsm(short) or not is_gsm(text)
    if len(text) <= longest and is_gsm(text):
        assert short == text


@given(SMS_TEXTS)
def test_plain_signs_never_cost_a_segment_and_change_nothing_where_they_save_none(text: str) -> None:
    as_it_is, plain = sms_text(text, None), sms_text(text, None, is_plain=True)
    assert segments(plain).count <= segments(text).count
    assert plain == as_it_is or (is_gsm(plain) and not is_gsm(text))
    assert sms_text(plain, None, is_plain=True) == plain


@pytest.mark.parametrize(
    ("text", "longest", "as_it_is", "plain"),
    [
        ("Your order is on its way", 14, "Your order...", "Your order..."),
        ("Ваш заказ уже в пути", 16, "Ваш заказ уже…", "Ваш заказ уже…"),
        ("Your order is on its way 😀", 14, "Your order...", "Your order..."),
        ("It’s 1’000 − so…", None, "It's 1'000 - so...", "It's 1'000 - so..."),
        ("“Hi” – «you»\u00a0\u00ad!", None, "“Hi” – «you»\u00a0\u00ad!", '"Hi" - "you" !'),
        ("„Grüß dich“ ж", None, "„Grüß dich“ ж", "„Grüß dich“ ж"),  # UCS-2 in any case
        ("…" * 70, None, "…" * 70, "…" * 70),  # 210 places in GSM-7 are a segment more
        ("ж" * 8 + "e\u0301" * 4, 10, "ж" * 8 + "…", "ж" * 8 + "…"),
        ("ж" * 8 + "👨\u200d👩\u200d👧", 12, "ж" * 8 + "…", "ж" * 8 + "…"),
    ],
)
def test_what_is_sent_costs_no_more_than_it_must(text: str, longest: int | None, as_it_is: str, plain: str) -> None:
    assert sms_text(text, longest) == as_it_is
    assert sms_text(text, longest, is_plain=True) == plain


def test_the_characters_that_cost_are_named_once() -> None:
    assert beyond_gsm("€ “a” – “b” ^") == ("“", "”", "–")


@pytest.mark.parametrize(
    ("text", "three"),
    [("0.075 EUR", "0.225 EUR"), ("0 USD", "0 USD"), (" 0.0079 USD ", "0.0237 USD"), ("2 CHF", "6 CHF")],
)
def test_a_price_is_that_of_a_segment(text: str, three: str) -> None:
    assert Price.parse(text).of(3) == three


@pytest.mark.parametrize(
    "text", ["", "0.1", "EUR 0.1", "-1 EUR", "nan EUR", "1e9 EUR", "0.1 eur", "0.1 EURO", "0,1 EUR"]
)
def test_what_is_no_price_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"such as 0\.075 EUR"):
        Price.parse(text)
