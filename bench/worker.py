"""A worker process whose providers answer at once: ours, or one of RQ's own, on the same jobs.

`python -m bench.worker ours|simple|stock QUEUE,…` empties the queues and prints what that took; `real` is ours with
the product's own adapters, which send as fast as they can instead of at their provider's pace;
`python -m bench.worker serve` runs until it is stopped.
"""

import argparse
import json
import os
import resource
import signal
import sys
import time

import redis
from rq import SimpleWorker, Worker

from bench.processes import held_mb
from notifier import channels, jobs
from notifier.channels.contract import Adapter
from notifier.core.message import Message, Receipt, Recipient
from notifier.ground import lifeline, logs, metrics
from notifier.ground.config import Settings
from notifier.ground.extensions import db
from notifier.programs import starting, worker
from notifier.programs.arguments import arguments
from notifier.signals.queueing import SERIALIZER, all_queues


class _Instant(Adapter):
    label = "Answers at once"

    def send(self, message: Message, to: Recipient) -> Receipt:
        return Receipt("sent", provider_message_id=message.delivery_id)


class InstantSms(_Instant):
    channel, provider = channels.CHANNELS["sms"], "instant_sms"


class InstantEmail(_Instant):
    channel, provider = channels.CHANNELS["email"], "instant_email"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=("ours", "real", "simple", "stock", "serve"))
    parser.add_argument("queues", nargs="?", default="*")
    parser.add_argument("--lanes", type=int, default=arguments().parse_args(["worker"]).lanes)
    given = parser.parse_args()
    if given.kind == "real":
        for adapter in channels.ADAPTERS:
            adapter.per_second = None
    else:
        channels.ADAPTERS = (
            InstantSms,
            InstantEmail,
            *(adapter for adapter in channels.ADAPTERS if adapter.channel.name != "email"),
        )
        os.environ.pop("SMTP_URL", None)  # what sends by SMTP would come before what answers at once
    settings = Settings.from_env()
    # As the command line gives them, so that none is missing
    options = arguments().parse_args(["worker", "--queues", given.queues, "--lanes", str(given.lanes)])
    options.burst = given.kind != "serve"
    if given.kind == "serve":
        return worker.run(settings, options)
    logs.configure(as_json=True)
    is_ours = given.kind in ("ours", "real")
    app = starting.wait_for_app(jobs.app, lambda: False) if is_ours else jobs.app()  # as each of them is started
    assert app is not None
    wall, cpu = time.monotonic(), _cpu_s()
    if is_ours:
        with app.app_context():
            line = lifeline.hold(app)
            worker.work_on(settings, worker.chosen_queues(given.queues), options, worker._Signals(), line)
            line.let_go()
    else:
        with app.app_context():
            db.engine.dispose()  # a connection must not be shared with a forked child
        signal.alarm(120)
        kind = SimpleWorker if given.kind == "simple" else Worker
        names = [name for name in all_queues() if name in given.queues.split(",")]
        kind(names, connection=redis.Redis.from_url(settings.redis_url), serializer=SERIALIZER).work(
            burst=True, logging_level="WARNING"
        )
    took = {"seconds": time.monotonic() - wall, "cpu_s": _cpu_s() - cpu}
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    took["batches"] = metrics.REGISTRY.get_sample_value("notifier_batch_items_count", {"stage": "claim"}) or 0.0
    print(json.dumps({**took, "peak_mb": round(peak / 1024, 1), "left_mb": held_mb(os.getpid())}), flush=True)
    return 0


def _cpu_s() -> float:
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


if __name__ == "__main__":
    sys.exit(main())
