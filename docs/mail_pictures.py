"""Pictures of every mail of the catalogue, in light and dark, as wide as a phone and as a window:
`.venv/bin/python -m docs.mail_pictures FOLDER [LANGUAGE]`. Needs Debian's chromium.

`index.html` in the folder shows all of them. A mail that scrolls sideways is named, and the command fails.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

from playwright.sync_api import sync_playwright

from notifier.catalogue import load
from notifier.core.message import Content
from notifier.words.render import RenderRequest, render
from tests.words.rendering import source_of

WIDTHS = (320, 700)
SCHEMES = ("light", "dark")
LINK = "https://notifier.example/x"


def main(folder: Path, locale: str = "en") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    too_wide, shown = [], []
    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=["--no-sandbox"]
        )
        for scheme in SCHEMES:
            for width in WIDTHS:
                page = browser.new_page(viewport={"width": width, "height": 500}, color_scheme=scheme)
                page.route("http**", lambda route: route.abort())
                for key, html in mails(locale):
                    page.set_content(html)
                    name = f"{key}-{width}-{scheme}.png"
                    page.screenshot(path=folder / name, full_page=True)
                    shown.append(name)
                    if page.evaluate("document.documentElement.scrollWidth") > width:
                        too_wide.append(name)
                page.close()
        browser.close()
    pictures = "".join(
        f'<figure><img src="{name}" alt=""><figcaption>{name}</figcaption></figure>' for name in sorted(shown)
    )
    (folder / "index.html").write_text(f"<!DOCTYPE html><meta charset=utf-8><title>Mails</title>{pictures}")
    if too_wide:
        sys.exit(f"wider than their window: {', '.join(too_wide)}")


def mails(locale: str) -> Iterator[tuple[str, str]]:
    """The key and document of every type that is sent by mail, filled with the catalogue's sample data."""
    for entry in load():
        if "email" not in entry.channels:
            continue
        [mail] = render(
            [
                RenderRequest(
                    "email", locale, entry.key, source_of(entry), entry.titles,
                    entry.sample,
                    "Alexandra Featherstonehaugh", ZoneInfo("UTC"), entry.category, LINK, LINK, LINK,
                )
            ]
        )  # fmt: skip
        assert isinstance(mail, Content)
        yield entry.key, mail.html or ""


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:3])
