"""Numbers, money, dates, plurals and phrases, as readers of several languages and zones expect them."""

from zoneinfo import ZoneInfo

import pytest

from notifier.ground.languages import locale_for
from notifier.words.formats import Reader
from notifier.words.language import Budget, Compiled, TemplateFault

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"


def show(source: str, value: object, language: str = "en", zone: str = BERLIN) -> str:
    text = Compiled(source, is_html=False).run(
        {"value": value, "currency": "EUR"}, Reader(locale_for(language), ZoneInfo(zone)), Budget(20_000)
    )
    return text.replace("\u00a0", " ").replace("\u202f", " ")


@pytest.mark.parametrize(
    ("value", "language", "text"),
    [
        (49.9, "en", "€49.90"),
        ("49.90", "de", "49,90 €"),
        (1234567.5, "de", "1.234.567,50 €"),
        (0, "en", "€0.00"),
        (-3, "en", "-€3.00"),
        ("about fifty", "en", "about fifty"),
        ("NaN", "en", "NaN"),
        ("1e999999", "en", "1e999999"),
        (None, "en", ""),
        ([1], "en", ""),
    ],
)
def test_money(value, language, text):
    assert show("{{ value|money(currency) }}", value, language) == text


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ value|money }}", "9.50"),
        ("{{ value|money(missing) }}", "9.50"),
        ("{{ value|money('euro') }}", "9.50"),
        ("{{ value|money('usd') }}", "$9.50"),
    ],
)
def test_money_without_a_proper_currency_is_a_plain_amount(source, text):
    assert show(source, 9.5) == text


@pytest.mark.parametrize(
    ("value", "language", "text"),
    [
        (1234.5, "en", "1,234.5"),
        (1234.5, "de", "1.234,5"),
        ("12", "en", "12"),
        ("a dozen", "en", "a dozen"),
        (True, "en", "True"),
    ],
)
def test_number(value, language, text):
    assert show("{{ value|number }}", value, language) == text


@pytest.mark.parametrize(
    ("source", "value", "language", "zone", "text"),
    [
        ("{{ value|date }}", "2026-12-03", "en", BERLIN, "Dec 3, 2026"),
        ("{{ value|date }}", "2026-12-03", "de", BERLIN, "03.12.2026"),
        ("{{ value|date('day') }}", "2026-12-03", "en", BERLIN, "Thursday, December 3"),
        ("{{ value|date('day') }}", "2026-12-03", "de", BERLIN, "Donnerstag, 3. Dezember"),
        ("{{ value|date('day') }}", "2026-12-03", "fr", BERLIN, "jeudi 3 décembre"),
        ("{{ value|date('day') }}", "2026-12-03", "es", BERLIN, "jueves, 3 de diciembre"),
        ("{{ value|date('day') }}", "2026-12-03", "nl", BERLIN, "donderdag 3 december 2026"),
        ("{{ value|date }}", "2026-12-03T23:30:00Z", "en", BERLIN, "Dec 4, 2026"),
        ("{{ value|date }}", "2026-12-03T02:30:00Z", "en", NEW_YORK, "Dec 2, 2026"),
        ("{{ value|datetime('short') }}", "2026-12-03T14:30:00Z", "en", NEW_YORK, "12/3/26, 9:30 AM"),
        ("{{ value|datetime('short') }}", "2026-12-03T14:30:00+01:00", "de", BERLIN, "03.12.26, 14:30"),
        ("{{ value|datetime('short') }}", "2026-12-03 14:30:00", "de", BERLIN, "03.12.26, 15:30"),
        ("{{ value|datetime }}", "2026-12-03", "en", BERLIN, "Dec 3, 2026"),
        ("{{ value|time }}", "2026-12-03T14:30:00Z", "de", BERLIN, "15:30"),
        ("{{ value|date }}", 1796308200, "en", BERLIN, "Dec 3, 2026"),
        ("{{ value|date }}", "9999-12-31T23:59:59Z", "en", BERLIN, "Dec 31, 9999"),
        ("{{ value|datetime }}", "9999-12-31T23:59:59-05:00", "en", BERLIN, "Dec 31, 9999, 11:59:59 PM"),
        ("{{ value|time('full') }}", "9999-12-31T23:59:59Z", "en", BERLIN, "11:59:59 PM Coordinated Universal Time"),
        ("{{ value|date }}", "0001-01-01T00:00:00Z", "en", NEW_YORK, "Jan 1, 1"),
        ("{{ value|date }}", "tomorrow by noon", "en", BERLIN, "tomorrow by noon"),
        ("{{ value|date }}", "2026-13-45", "en", BERLIN, "2026-13-45"),
        ("{{ value|date }}", "12345678", "en", BERLIN, "12345678"),
        ("{{ value|date }}", None, "en", BERLIN, ""),
        ("{{ value|time }}", "soon", "en", BERLIN, "soon"),
    ],
)
def test_dates_and_times_are_in_the_readers_zone_and_language(source, value, language, zone, text):
    assert show(source, value, language, zone) == text


def test_an_unknown_length_of_a_date_is_a_fault():
    with pytest.raises(TemplateFault, match="no length 'huge'"):
        show("{{ value|date('huge') }}", "2026-12-03")


@pytest.mark.parametrize(
    ("value", "language", "text"),
    [
        (0, "en", "0 minutes"),
        (1, "en", "1 minute"),
        (1500, "en", "1,500 minutes"),
        ("1", "en", "1 minute"),
        (1, "de", "1 minute"),
        (3, "pl", "3 minuty"),
        (5, "pl", "5 minutes"),
    ],
)
def test_plural_follows_the_language(value, language, text):
    assert show("{{ value|plural(one='{n} minute', few='{n} minuty', other='{n} minutes') }}", value, language) == text


@pytest.mark.parametrize("source", ["{{ value|plural(one='x') }}", "{{ 'many'|plural(other='x') }}"])
def test_a_plural_without_its_form_or_its_number_is_a_fault(source):
    with pytest.raises(TemplateFault):
        show(source, 5)


@pytest.mark.parametrize(
    ("value", "language", "text"),
    [
        ("password_changed", "en", "Password changed"),
        ("password_changed", "de", "Passwort geändert"),
        ("PASSWORD-CHANGED", "de", "Passwort geändert"),
        ("Out for delivery", "de", "In Zustellung"),
        ("in_transit", "fr", "En route"),
        ("in_transit", "nl", "On its way"),
        ("some_other_code", "de", "Some other code"),
        ("Left with Mrs_Miller next door", "en", "Left with Mrs_Miller next door"),
        ("", "en", ""),
    ],
)
def test_a_code_is_put_into_words(value, language, text):
    assert show("{{ value|phrase }}", value, language) == text


@pytest.mark.parametrize(
    ("tag", "identifier"),
    [("de-AT", "de_AT"), ("de_at", "de_AT"), ("de-XX", "de"), ("xx", "en"), ("", "en"), ("../x", "en")],
)
def test_an_unknown_locale_falls_back(tag, identifier):
    assert str(locale_for(tag)) == identifier
