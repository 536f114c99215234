"""The countries of phone numbers, and lists of those that may be reached (ISO 3166, `DE`)."""

from collections.abc import Iterable

import phonenumbers

ELSEWHERE = "001"  # of numbers that belong to no country, such as satellite phones


def parse_countries(texts: Iterable[str]) -> list[str]:
    """`de, AT` → AT, DE. Raises ValueError with a sentence for people."""
    found = {text.strip().upper() for text in texts if text.strip()}
    unknown = sorted(found - phonenumbers.SUPPORTED_REGIONS - {ELSEWHERE})
    if unknown:
        raise ValueError(f"{unknown[0][:20]} is no country with phones: write its two letters, such as DE")
    return sorted(found)


def country_of(number: str) -> str:
    """The country of a number in E.164; ELSEWHERE for one of none. Of a number that several countries share a plan for
    and that is in use in none (+1555…), the main one.
    """
    try:
        parsed = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        return ELSEWHERE
    found = phonenumbers.region_code_for_number(parsed)
    return found or phonenumbers.region_code_for_country_code(parsed.country_code or 0) or ELSEWHERE
