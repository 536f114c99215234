"""The country of a phone number, and lists of countries."""

import pytest

from notifier.ground.phone_countries import country_of, parse_countries


@pytest.mark.parametrize(
    ("number", "country"),
    [
        ("+4915112345678", "DE"),
        ("+14155552671", "US"),
        ("+16135550123", "CA"),
        ("+441624123456", "IM"),
        ("+447700900123", "GB"),
        ("+15550100001", "US"),  # of a plan that several share, and in none of them
        ("+881612345678", "001"),
        ("no number", "001"),
    ],
)
def test_a_number_belongs_to_a_country(number: str, country: str) -> None:
    assert country_of(number) == country


def test_countries_are_kept_in_one_spelling() -> None:
    assert parse_countries(["de", " AT", "DE", "", "001"]) == ["001", "AT", "DE"]


@pytest.mark.parametrize("text", ["Germany", "XX", "+49", "D", "D\N{LATIN SMALL LETTER DOTLESS I}"])
def test_what_is_no_country_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no country with phones"):
        parse_countries([text])
