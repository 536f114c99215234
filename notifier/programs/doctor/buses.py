"""The message bus of CONSUME_URL: does it answer, is there what the URL names, and may we take messages in?"""

from collections.abc import Iterator

from notifier.api import messages
from notifier.bus.source import Away, source_of
from notifier.ground.config import NotReady
from notifier.programs.consume import key_file
from notifier.programs.doctor.findings import Finding, counted, fault, ok, warning
from notifier.programs.doctor.patient import Patient


def bus(patient: Patient) -> Iterator[Finding]:
    settings = patient.settings
    target = settings.consume_url
    if target is None and settings.pubsub_account is None:
        yield ok("no message bus is read (CONSUME_URL is not set)")
        return
    yield from _key(patient)
    if target is None:
        return
    try:
        source = source_of(target)
        try:
            source.look()
            waiting = source.lag()
        finally:
            source.close()
    except NotReady as error:
        yield fault(str(error), "docs/consume.md has the URLs.")
    except Away as error:
        yield fault(f"{target.shown} cannot be reached ({error.code})", "Correct CONSUME_URL, or start the bus.")
    else:
        known = "" if waiting is None else f"; {counted(waiting, 'message waits', 'messages wait')} there"
        yield ok(f"{target.shown} answers{known}")


def _key(patient: Patient) -> Iterator[Finding]:
    settings = patient.settings
    if settings.consume_key is None:
        if settings.is_production:
            yield fault("CONSUME_KEY is not set", "Set it to a producer's key: create-producer NAME --scope notify.")
        elif not key_file(settings).exists():
            yield warning("nothing has consumed yet", "Start it: python -m notifier consume")
        return
    try:
        messages.identity(settings.consume_key, is_used=False)
        yield ok("the key in CONSUME_KEY may submit")
    except messages.KeyRefused as error:
        yield fault(f"messages wait: {error}", "Set CONSUME_KEY to another: create-producer NAME --scope notify.")
