"""Lines of CSV files that are downloaded from the console and opened in spreadsheets."""

import csv
import io
from collections.abc import Iterable

_FORMULA = (*"=+-@\t\r\n", *"\uff1d\uff0b\uff0d\uff20")  # and in full width


def csv_line(cells: Iterable[str | None]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow([_harmless(cell or "") for cell in cells])
    return out.getvalue()


def _harmless(cell: str) -> str:
    """A spreadsheet takes what begins like this for a formula (OWASP, CSV Injection)."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
