"""A mail with a brand: whose name, logo, colour and address it shows, and that none of them can be more than that."""

import re
from html.parser import HTMLParser

import pytest

from notifier.core.brand import Brand
from notifier.core.wording import Words
from tests.words.rendering import UNSUBSCRIBE, WHY, content

WORDS = Words(
    "Hello",
    "",
    html='<p>See <a href="https://a.test/?x=color: %231d4ed8">this</a>, <a style="color: red" href="https://b.test/">'
    'that</a>, <a style="color: white; background-color: #1d4ed8" href="https://c.test/">a button</a> '
    "and color: #1d4ed8.</p>",
    action_label="Look",
    action_url="https://a.test/",
)
ACME = Brand("Acme & Sons", "https://acme.test/l.png?a=1&b=2", "#ffd400", "1 <Road>\nTown")
FORGED = 'x"><script>alert(1)</script><a style="position:fixed;background:url(//evil.test)" href="javascript:1'


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, list[str], dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, [name for name, _ in attrs], dict(attrs)))


def tags(brand: Brand) -> list[tuple[str, list[str], dict[str, str | None]]]:
    parser = _Tags()
    parser.feed(mail(brand)[0])
    return parser.found


def mail(brand: Brand, **changes: object) -> tuple[str, str]:
    made = content("email", WORDS, brand=brand, **changes)
    assert made.html is not None
    return made.html, made.body


def test_a_mail_shows_the_brand_that_it_has():
    html, text = mail(ACME, why_url=WHY, unsubscribe_url=UNSUBSCRIBE)
    assert 'src="https://acme.test/l.png?a=1&amp;b=2"' in html
    assert 'alt="Acme &amp; Sons"' in html
    assert "1 &lt;Road&gt;<br>Town</p>" in html
    assert text.endswith(f"{UNSUBSCRIBE}\nAcme & Sons\n1 <Road>\nTown")
    [button] = re.findall(r'<a class="button"[^>]*>', html)
    assert "color: #000000" in button
    assert html.count('bgcolor="#ffd400"') == 2
    assert re.search(r'<p class="kicker" style="[^"]*color: #846e00', html)


def test_links_have_its_colour_but_those_that_the_template_has_coloured():
    html, _ = mail(ACME)
    colours = [
        re.findall(r"(?<![-\w])color: ([^;\"]+)", tag)[-1] for tag in re.findall(r"<a [^>]*test/[^>]*>", html)[:2]
    ]
    assert colours == ["#846e00", "red"]
    assert "background-color: #1d4ed8" in html
    assert "and color: #1d4ed8." in html


@pytest.mark.parametrize(
    ("brand", "shown", "hidden"),
    [
        (Brand(name="Acme"), [">Acme</td>", "#2456d6"], ["<img", 'class="address"']),
        (Brand(accent="#b0369b"), ['bgcolor="#b0369b"'], ["#2456d6", "<img", 'class="brand"']),
        (Brand(address="1 Road"), [">1 Road</p>", "#2456d6"], ['class="brand"']),
    ],
    ids=["name", "colour", "address"],
)
def test_each_part_of_a_brand_stands_alone(brand: Brand, shown: list[str], hidden: list[str]):
    html, _ = mail(brand)
    assert [part for part in shown if part not in html] == []
    assert [part for part in hidden if part in html] == []


def test_whatever_stands_in_a_brand_is_text_in_its_place():
    """Even past the check that it is stored by."""
    forged, honest = tags(Brand(FORGED, FORGED, "#ffd400", FORGED)), tags(ACME)
    assert [(tag, names) for tag, names, _ in forged if tag != "br"] == [
        (tag, names) for tag, names, _ in honest if tag != "br"
    ]
    styles = {values["style"] for _, names, values in honest if "style" in names}
    assert {values["style"] for _, names, values in forged if "style" in names} <= styles


def test_in_dark_mode_a_name_is_light_and_a_logo_stands_on_white():
    html, _ = mail(ACME)
    dark = html[html.rindex("prefers-color-scheme: dark") :]
    assert re.search(r"^[^<]*td\.brand \{ color: #f2f4f8 !important", dark)
    assert re.search(r"^[^<]*img\.logo \{[^}]*background-color: #ffffff !important", dark)
    assert "td.brand" not in mail(Brand(accent="#ffd400"))[0]
