"""The languages of a template in the editor: added, compared, and what each lacks."""

import html
import re
from collections.abc import Callable

import pytest
from apiflask import APIFlask

from notifier.catalogue import templates
from notifier.core.wording import Words
from notifier.queries import templates as queries
from tests.web.conftest import Visitor

KEY = "kiln_words"
HOME = f"/admin/templates/{KEY}"
ENGLISH = {
    ("*", "en"): Words("It fires", secondary_label="Look"),
    ("email", "en"): Words("It fires", subject="Kiln"),
}


@pytest.fixture(autouse=True)
def _template(app: APIFlask) -> None:
    templates.create(KEY, ENGLISH)


@pytest.fixture
def admin(signed_in: Callable[..., Visitor]) -> Visitor:
    return signed_in("admin")


def text_of(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def test_a_language_begins_with_another_ones_words_beside_it(admin: Visitor) -> None:
    templates.save(KEY, 1, {("email", "pt-BR"): Words("Forno")})
    answer = admin.post(f"{HOME}/1/language", {"locale": " pt_br ", "base": "en"})
    assert answer.location == f"{HOME}/1?channel=*&locale=pt-BR&beside=en"
    expected = {**ENGLISH, ("*", "pt-BR"): ENGLISH["*", "en"], ("email", "pt-BR"): Words("Forno")}
    assert queries.source(KEY, 1).contents == expected  # what is translated already stays
    page = admin.get(answer.location).text
    assert re.search(r'<dl[^>]* lang="en".*Second button.*Look.*</dl>', page, re.DOTALL)


@pytest.mark.parametrize(
    ("locale", "base", "sentence"),
    [
        ("en", "en", "There is nothing in en that en lacks."),
        ("fr", "de", "There is nothing in de that fr lacks."),
        ("", "en", "There is nothing in en that en lacks."),
        ("fr!", "en", "is not a language"),
        ("<b>", "en", "is not a language"),
    ],
)
def test_a_language_that_cannot_be_added_leaves_the_draft_as_it_is(
    admin: Visitor, locale: str, base: str, sentence: str
) -> None:
    page = admin.get(admin.post(f"{HOME}/1/language", {"locale": locale, "base": base}).location).text
    assert (sentence in html.unescape(page), "<b>" in page) == (True, False)
    assert queries.source(KEY, 1).contents == ENGLISH


def test_what_a_language_lacks_is_said_in_the_editor_and_before_publishing(admin: Visitor) -> None:
    templates.save(KEY, 1, {("*", "fr"): Words("Il chauffe")})
    assert "Any channel en fr E-mail en fr , not written yet" in text_of(admin.get(f"{HOME}/1").text)
    assert "fr : 1 of 2 lacks E-mail" in text_of(admin.get(f"{HOME}/1/publish").text)


def test_the_list_names_the_templates_that_lack_a_language(admin: Visitor) -> None:
    templates.publish(KEY, 1)
    page = text_of(admin.get("/admin/templates").text)
    assert re.search(rf"fr : (\d+) of (?!\1)\d+ templates Not in fr: .*{KEY}", page)
