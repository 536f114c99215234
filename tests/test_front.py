"""Templates can be read and compared line by line."""

from tests.running import ROOT

WIDTH = 120


def test_no_line_of_a_template_is_longer_than_120_columns() -> None:
    pages = [path for path in (ROOT / "templates").rglob("*.html") if path.parent != ROOT / "templates" / "email"]
    lines = [
        (path.relative_to(ROOT), number, len(line))
        for path in pages
        for number, line in enumerate(path.read_text().splitlines(), 1)
    ]
    assert [line for line in lines if line[2] > WIDTH] == []
