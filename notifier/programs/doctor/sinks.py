"""The sink of the events: does anybody send to it, does it take them, and has it had them all?"""

from collections.abc import Iterator
from datetime import timedelta

from notifier.ground.clock import now
from notifier.ledgers.event_readers import SINK
from notifier.programs.doctor.findings import Finding, counted, fault, ok, warning
from notifier.programs.doctor.patient import Patient
from notifier.queries.event_readers import standing

LATE = timedelta(minutes=1)


def events(patient: Patient) -> Iterator[Finding]:
    target = patient.settings.events_sink
    if target is None:
        yield ok("events are sent nowhere (EVENTS_SINK is not set)")
        return
    found = standing(SINK)
    behind = now() - found.unsent_since if found.unsent_since else timedelta()
    if not found.has_sender:
        yield fault(f"nobody sends events to {target.shown}", "Start one: python -m notifier sink")
    elif found.trouble:
        yield fault(
            f"{target.shown} does not take events: {found.trouble}",
            "See the log of the sink process, and of the receiver; docs/events.md says what the codes mean.",
        )
    if behind > LATE:
        kept = patient.settings.retention["events"]
        yield warning(
            f"{target.shown} is {_minutes(behind)} behind",
            f"Events are deleted after {_minutes(kept)} (RETENTION), whether it has had them or not.",
        )
    elif found.has_sender and not found.trouble:
        yield ok(f"{target.shown} has had all events of more than a minute ago")
    if found.set_aside:
        yield warning(
            f"{target.shown} has refused {counted(found.set_aside, 'event')} for good; the last: evt_{found.refused}",
            "Read it with `export`, mend the receiver's table, and insert what is missing there.",
        )
    if found.missed:
        yield warning(
            f"{counted(found.missed, 'event was', 'events were')} deleted before {target.shown} had them",
            "They are gone. A longer RETENTION, or looking here sooner, prevents the next loss.",
        )


def _minutes(span: timedelta) -> str:
    minutes = int(span.total_seconds() // 60)
    return counted(minutes, "minute") if minutes < 120 else counted(minutes // 60, "hour")
