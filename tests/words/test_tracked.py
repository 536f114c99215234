"""Links and pixel in the HTML of a finished mail."""

import re
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path
from uuid import UUID

import pytest
from flask import Flask, current_app

from notifier.core.message import Content
from notifier.core.tracking import DECOY
from notifier.core.wording import Words
from notifier.ground import tokens
from notifier.ground.config import Settings, current_settings
from notifier.words.tracked import MOST_LINKS, Tracked, track, without_pixel
from tests.words.rendering import outcome

DELIVERY = UUID(int=7)
SHOP = "https://shop.test/o/1"


@pytest.fixture(autouse=True)
def _context(tmp_path: Path) -> Iterator[None]:
    """No database: tokens need a key, links the address of the site."""
    app = Flask(__name__)
    app.config.update(SECRET_KEY="test-secret-key", SECRET_KEY_FALLBACKS=[])
    app.extensions["settings"] = Settings.from_env({"NOTIFIER_HOME": str(tmp_path), "PUBLIC_URL": "http://notify.test"})
    app.extensions["process_pools"] = {}
    with app.app_context():
        yield


def mail(html: str, *, action_url: str = "", **changes: str | None) -> Content:
    content = outcome("email", Words("Hello", "", html=html, action_url=action_url), **changes)
    assert isinstance(content, Content)
    return content


def tracked(html: str | None, targets: tuple[str, ...] = (), *, opens: bool = False, clicks: bool = True) -> Tracked:
    assert html is not None
    return track(html, DELIVERY, opens=opens, clicks=clicks, targets=targets)


def hrefs(html: str) -> list[str]:
    return [unescape(found) for found in re.findall(r'<a [^>]*href="([^"]*)"', html)]


def followed(html: str, targets: tuple[str, ...]) -> list[str]:
    """Where its links lead in the end, the decoy left out."""
    found = []
    for href in hrefs(html):
        path = href.removeprefix(f"{current_settings().public_url}/t/")
        link = tokens.read_link(path) if path != href else None
        if link is None:
            found.append(href)
        elif link.number != DECOY:
            assert link.delivery_id == DELIVERY
            found.append(f"→ {targets[link.number - 1]}")
    return found


@pytest.mark.parametrize(
    "href",
    [
        "https://shop.test/o/1",
        "http://shop.test/o/1",
        "HTTPS://SHOP.test/O/1",
        "https://shop.test/a?x=1&y=2",
        "https://shop.test/a?x=%26&utm_source=mail&lt=3#part-2",
        "https://shop.test/a?q='x'",
        "https://bücher.test/größe?q=ß#ü",
        "https://shop.test:8443/",
        "https://user@shop.test/",
    ],
)
def test_a_link_leads_to_the_same_place_by_way_of_us(href: str) -> None:
    escaped = href.replace("&", "&amp;")
    one = tracked(mail(f'<p>See <a class="x" title="5 &gt; 3" href="{escaped}">this</a></p>').html)
    assert followed(one.html, one.targets) == [f"→ {href}"]
    assert 'title="5 &gt; 3"' in one.html


@pytest.mark.parametrize(
    "href",
    ["mailto:help@shop.test", "tel:+49301", "#top", "", "/inbox", "ftp://shop.test/x", "//shop.test/x", "https://"],
)
def test_what_is_no_web_address_stays_as_it_is(href: str) -> None:
    html = mail(f'<p><a href="{href}">x</a> and <a name="top">y</a></p>').html
    assert tracked(html) == Tracked(str(html), ())


@pytest.mark.parametrize("host", ["shop..test", ".test", f"{'a' * 64}ü.test"])
def test_a_link_to_a_host_that_no_redirect_can_name_stays_as_it_is(host: str) -> None:
    html = mail(f'<p><a href="https://{host}/">x</a></p>').html
    assert tracked(html) == Tracked(str(html), ())


@pytest.mark.parametrize("path", ["/u/abc.def", "/p/abc.def", "/login/link/abc", "/t/abc.def", "/inbox", ""])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_pages_of_ours_are_never_wrapped(path: str, scheme: str) -> None:
    """They unsubscribe, open preferences and sign in."""
    base = current_settings().public_url.replace("http://", f"{scheme}://")
    html = mail(f'<p><a href="{base}{path}">x</a></p>', why_url=f"{base}{path}", unsubscribe_url=f"{base}{path}").html
    assert tracked(html) == Tracked(str(html), ())


@pytest.mark.parametrize("public_url", ["https://bücher.test", "https://xn--bcher-kva.test"])
@pytest.mark.parametrize(
    "host", ["bücher.test", "BÜCHER.test", "xn--bcher-kva.test", "b%C3%BCcher.test", "bücher。test", "bücher.test."]
)
def test_however_our_own_host_is_written(host: str, public_url: str) -> None:
    settings = replace(current_settings(), public_url=public_url)
    html = mail(f'<p><a href="https://{host}/u/abc.def">x</a></p>').html
    current_app.extensions["settings"] = settings
    assert tracked(html) == Tracked(str(html), ())


def test_the_button_and_a_link_to_the_same_place_are_one_link() -> None:
    one = tracked(mail(f'<p><a href="{SHOP}">x</a> <a href="{SHOP}#b">y</a></p>', action_url=SHOP).html)
    assert one.targets == (SHOP, f"{SHOP}#b")
    assert followed(one.html, one.targets) == [f"→ {SHOP}", f"→ {SHOP}#b", f"→ {SHOP}"]


def test_links_keep_the_numbers_they_had_in_an_earlier_mail() -> None:
    first = tracked(mail('<p><a href="https://a.test/">a</a> <a href="https://b.test/">b</a></p>').html)
    again = tracked(
        mail('<p><a href="https://b.test/">b</a> <a href="https://c.test/">c</a></p>').html, targets=first.targets
    )
    assert first.targets == ("https://a.test/", "https://b.test/")
    assert again.targets == ("https://a.test/", "https://b.test/", "https://c.test/")
    assert followed(again.html, again.targets) == ["→ https://b.test/", "→ https://c.test/"]


def test_the_text_part_keeps_its_links() -> None:
    content = mail(f'<p>See <a href="{SHOP}">this</a></p>', action_url=SHOP)
    assert content.body.count(SHOP) == 1
    assert tracked(content.html).targets == (SHOP,)


def test_a_link_that_nobody_sees_comes_first_and_only_beside_others() -> None:
    html = tracked(mail(f'<p><a href="{SHOP}">x</a></p>').html).html
    decoy = hrefs(html)[0]
    assert tokens.read_link(decoy.rpartition("/")[2]) == (DELIVERY, DECOY)
    assert f'<a href="{decoy}" style="display:none" aria-hidden="true" tabindex="-1"></a>' in html
    assert hrefs(tracked(mail("<p>No links</p>").html).html) == []


@pytest.mark.parametrize(("opens", "clicks", "pixels", "links"), [(True, False, 1, 0), (False, True, 0, 1)])
def test_opens_and_clicks_are_asked_for_separately(opens: bool, clicks: bool, pixels: int, links: int) -> None:
    one = tracked(mail(f'<p><a href="{SHOP}">x</a></p>').html, opens=opens, clicks=clicks)
    found = re.findall(r'<img[^>]* src="([^"]+/o/([A-Za-z0-9._-]+)\.gif)" width="1"', one.html)
    assert [tokens.read_pixel(token) for _, token in found] == [DELIVERY] * pixels
    assert len(one.targets) == links


def test_a_look_at_a_mail_loads_no_pixel() -> None:
    html = str(mail(f'<p><a href="{SHOP}">x</a> <img src="https://shop.test/a.png" alt="a"></p>').html)
    assert without_pixel(tracked(html, opens=True, clicks=False).html) == html
    assert without_pixel(html) == html


def test_of_very_many_links_the_last_lead_straight_on() -> None:
    given = [f"https://shop.test/{number}" for number in range(MOST_LINKS + 5)]
    one = tracked(mail("".join(f'<a href="{href}">x</a>' for href in given)).html)
    assert one.targets == tuple(given[:MOST_LINKS])
    assert followed(one.html, one.targets) == [f"→ {href}" for href in given[:MOST_LINKS]] + given[MOST_LINKS:]


@pytest.mark.parametrize(
    "html",
    [
        '<p title="<a href=&quot;https://evil.test/&quot;>">x</p>',
        "<!-- <a href='https://evil.test/'>x</a> --><p>x</p>",
        "<p>&lt;a href=https://evil.test/&gt;</p>",
    ],
)
def test_what_only_looks_like_a_link_is_none(html: str) -> None:
    assert tracked(mail(html).html).targets == ()


@pytest.mark.parametrize(
    "anchor",
    [
        "<a href=https://shop.test/o/1>x</a>",
        "<A\nHREF='https://shop.test/o/1'>x</A>",
        '<a href=" https://shop.test/o/1 ">x</a>',
    ],
)
def test_however_a_link_is_written(anchor: str) -> None:
    assert tracked(mail(f"<p>{anchor}</p>").html).targets == (SHOP,)
