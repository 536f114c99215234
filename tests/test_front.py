"""Templates and stylesheets can be read and compared line by line, and no stylesheet is forgotten."""

import re

from tests.running import ROOT

WIDTH = 120
PAGES = [path for path in (ROOT / "templates").rglob("*.html") if path.parent != ROOT / "templates" / "email"]
CSS = ROOT / "static" / "css"
STYLES = [*CSS.rglob("*.css")]


def test_no_line_of_a_template_or_stylesheet_is_longer_than_120_columns() -> None:
    lines = [
        (str(path.relative_to(ROOT)), number, len(line))
        for path in [*PAGES, *STYLES]
        for number, line in enumerate(path.read_text().splitlines(), 1)
    ]
    assert [line for line in lines if line[2] > WIDTH] == []


def test_every_stylesheet_is_linked_or_part_of_one_and_every_named_one_is_there() -> None:
    """Those in static/css itself are built; those in its folders are parts of them."""
    linked = {name for path in PAGES for name in re.findall(r"filename='css/([\w-]+\.css)'", path.read_text())}
    imported = {name for path in STYLES for name in re.findall(r'@import "\./([\w/-]+\.css)"', path.read_text())}
    there = {path.relative_to(CSS).as_posix() for path in STYLES}
    assert linked == {name for name in there if "/" not in name}
    assert imported == there - linked


def test_no_template_takes_the_name_of_gettext_for_something_else() -> None:
    assert [str(path) for path in PAGES if re.search(r"\bset _\b", path.read_text())] == []
