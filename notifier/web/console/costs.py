"""What messages cost, by month, event type and account, as a page and as CSV. Viewers may look; prices are settings."""

from datetime import date

from flask import Response, render_template, request
from flask.typing import ResponseReturnValue

from notifier.core.costs import shown
from notifier.core.spend import shown as shown_micros
from notifier.queries import costs
from notifier.queries.types import names as type_names
from notifier.web.access import allow, page_blueprint
from notifier.web.csv_lines import csv_line

pages = page_blueprint("costs", url_prefix="/admin/costs")

_HEADER = ("month", "type", "channel", "account", "messages", "units", "price", "cost", "currency")


@pages.get("")
@allow("viewer")
def index() -> ResponseReturnValue:
    return render_template(
        "admin/costs.html",
        month=costs.month(_chosen()),
        months=costs.months(),
        totals=costs.totals(),
        currency=costs.currency(),
        types=type_names(),
        shown=shown,
        shown_micros=shown_micros,
    )


@pages.get("/csv")
@allow("viewer")
def download() -> ResponseReturnValue:
    found = costs.month(_chosen())
    currency = costs.currency()
    lines = [csv_line(_HEADER)]
    for line in found.lines:
        price, cost = (None if amount is None else f"{amount:f}" for amount in (line.price, line.cost))
        used = (line.type, line.channel, line.account, str(line.messages), f"{line.units:.2f}")
        lines.append(csv_line((f"{found.begin:%Y-%m}", *used, price, cost, currency)))
    name = f"costs-{found.begin:%Y-%m}.csv"
    return Response(
        "".join(lines),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f"attachment; filename={name}"},
    )


def _chosen() -> date:
    """One of the last months; the present one where none of them is named."""
    return next((one for one in costs.months() if f"{one:%Y-%m}" == request.args.get("month")), costs.months()[0])
