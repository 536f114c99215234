"""What the event stream costs those who write it, and how fast it is read and sent on."""

import time

import sqlalchemy as sa

from bench import rows
from bench.sample import CROWD, PEOPLE
from bench.stage import Found, Stage, micros
from notifier.core.events import COMPLAINED
from notifier.ground.config import current_settings
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.sink_urls import HttpSink
from notifier.ledgers import event_readers
from notifier.ledgers import events as stream
from notifier.models import Event
from notifier.programs.sink import MOST_EVENTS, Sender
from notifier.queries import events as queries
from notifier.queries import shown_events
from notifier.sinks.http import HttpCollector

_BATCH = 500  # of a worker that is busy


def events(stage: Stage) -> Found:
    """`write_cpu_us`: of an event, in the process, in batches of a busy worker. `read/s`: by one reader. `events/s`: by
    the sink to an HTTP collector that takes everything at once, the position stored after each batch.
    """
    ids = rows.queue_up("sms", "medium", stage.some(20_000), prefix=PEOPLE, users=CROWD)
    first = db.session.scalar(sa.select(sa.func.max(Event.id))) or 0
    db.session.close()
    found: Found = {}
    written: Found = {}
    spent_s = time.process_time()
    with stage.costs(written, lambda: len(ids)):
        for start in range(0, len(ids), _BATCH):
            with transaction():
                stream.tell(COMPLAINED, ids[start : start + _BATCH])
    found["write_cpu_us"] = micros(time.process_time() - spent_s, len(ids))
    found |= {f"write_{name}": value for name, value in written.items()}

    begun, position = time.monotonic(), first
    while read := queries.read(position, MOST_EVENTS).rows:
        position = read[-1].id
        for event in shown_events.shown(read):
            shown_events.line(event)
        db.session.close()
    read_per_s = round(len(ids) / (time.monotonic() - begun), 1)

    target = HttpSink(f"http://127.0.0.1:{stage.quick_port}/events")
    collector = HttpCollector(target, current_settings().outbound_allow)
    sender = Sender(collector, target.shown)
    event_readers.take(event_readers.SINK, sender.lease, lambda _holder: True)
    event_readers.advance(event_readers.SINK, sender.lease, first)
    spent_s, begun = time.process_time(), time.monotonic()
    while sender.position != position:
        sender.send()
    found["events/s"] = round(len(ids) / (time.monotonic() - begun), 1)
    found["read/s"] = read_per_s
    found["cpu_us"] = micros(time.process_time() - spent_s, len(ids))
    sender.end()
    collector.close()
    return found
