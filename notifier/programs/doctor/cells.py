"""The other cells: does each of them answer, and take what it is told?"""

from collections.abc import Iterator

from notifier.cells import client
from notifier.programs.doctor.findings import Finding, counted, fault, ok, warning
from notifier.programs.doctor.patient import Patient
from notifier.queries.cells import standing

_PATIENCE_S = 5.0


def cells(patient: Patient) -> Iterator[Finding]:
    ours = patient.settings.region
    if ours is None or not ours.others:
        yield ok("this installation serves everybody (REGION is not set)")
        return
    for one in standing(ours):
        held = f"; {counted(one.held, 'call waits', 'calls wait')} for it" if one.held else ""
        try:
            client.who_of(ours, one.region, [], _PATIENCE_S)
        except client.Away as error:
            since = f" since {one.away_since:%Y-%m-%d %H:%M} UTC" if one.away_since else ""
            yield fault(
                f"the cell {one.region} does not answer as it should{since}: {error}{held}",
                f"Look at it: {ours.others[one.region]}/healthz. Its own doctor says more.",
            )
        else:
            yield ok(f"the cell {one.region} answers{held}")
        if one.refused:
            yield warning(
                f"the cell {one.region} has refused {counted(one.refused, 'call', 'calls')} for good in the last month",
                "The log says of each what and why: cells.refused.",
            )
