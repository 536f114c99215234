"""Status webhooks: whose URL takes no events?"""

from collections.abc import Iterator
from datetime import timedelta

from notifier.ground.clock import now
from notifier.ground.ids import show
from notifier.programs.doctor.findings import Finding, counted, ok, warning
from notifier.programs.doctor.patient import Patient
from notifier.queries.subscriptions import SUBSCRIPTION, troubled

LONG = timedelta(minutes=10)  # a receiver that is being restarted is no news


def taken(patient: Patient) -> Iterator[Finding]:
    """Warnings only: it is the receivers that fail."""
    disabled, failing = troubled(now() - LONG)
    if failing:
        yield warning(
            f"{counted(len(failing), 'status webhook has', 'status webhooks have')} had no success for more than ten"
            f" minutes; the first: {show(SUBSCRIPTION, failing[0])}",
            "Its page shows why; five days of this disable it: "
            + patient.settings.link("admin", "subscriptions", show(SUBSCRIPTION, failing[0])),
        )
    if disabled:
        yield warning(
            f"{counted(len(disabled), 'status webhook is', 'status webhooks are')} disabled after a 410 or five days of"
            f" failing; the first: {show(SUBSCRIPTION, disabled[0])}",
            "Switch it on again, or delete it: "
            + patient.settings.link("admin", "subscriptions", show(SUBSCRIPTION, disabled[0])),
        )
    if not failing and not disabled:
        yield ok("every status webhook that is switched on takes its events")
