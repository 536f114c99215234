"""Everything that an installation does, one operation at a time, with what it costs: for `bench.growth`.

`python -m bench.operations` prints the names of all. Then it reads lines `{"name": …, "times": …}` and answers each
with what one time has cost: `cpu_us`, this process' own; `server_us`, that of PostgreSQL's processes for it; and
`looked_at`, with `"is_counted"`: steps of SQLite's virtual machine, or pages that PostgreSQL has touched. Other work on
the machine does not change these.
"""

import json
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import sqlalchemy as sa
from flask import Flask

from bench import rows
from bench.console import TOKEN
from bench.past import FORMER
from bench.sample import CROWD, DATA, KEY, PEOPLE, TYPE
from bench.worker import InstantEmail, InstantSms
from notifier import channels, jobs
from notifier.access import accounts
from notifier.channels.receipts import Event
from notifier.ground import logs
from notifier.ground import tokens as signing
from notifier.ground.clock import now
from notifier.ground.config import current_settings
from notifier.ground.database import for_glances
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.models import Capture, Delivery, EventStream, InboxItem, Notification, Producer
from notifier.models import Event as StreamEvent
from notifier.pipeline.delivery import receipts
from notifier.pipeline.delivery.deliver import deliver
from notifier.programs import scheduler
from notifier.programs.doctor import examination
from notifier.queries import due_work, shown_events, valid_tokens

DEAD = 1_000  # failures that nobody has dealt with, beside those of the past
READER, ITEMS, UNREAD = "reader", 1_000, 100  # has as much in the inbox whatever the size of the past
BATCH = 100
_ADMIN = "growth@bench.example"
_NUMBERS = count(1)  # another order each time: what was said within the hour is left out
_STEPS = 20  # SQLite calls back after so many


@dataclass(frozen=True, slots=True)
class Operation:
    """`prepare` is not measured, and its result is what `work` gets. It is done `size` times at once."""

    work: Callable[[Any], object]
    prepare: Callable[[], Any] = lambda: None
    size: int = 1


class Caller:
    """Calls the application as its callers do: a producer by its key, a person by a token, an admin signed in."""

    def __init__(self, app: Flask) -> None:
        self.client = app.test_client()
        self.base = "https://localhost"
        subject = valid_tokens.subject_of(f"{READER}0")
        assert subject is not None
        self.tokens = {"producer": KEY, "person": signing.sign_user_token(subject, 86_400)[0]}
        accounts.create_account(_ADMIN, KEY, "admin", f"{PEOPLE}0")
        form = TOKEN.search(self._ask("GET", "/login", {}).text)
        assert form is not None
        given = {"email": _ADMIN, "password": KEY, "csrf_token": form[1]}
        self._ask("POST", "/login", {"data": given}, expected=(303,))

    def api(self, method: str, path: str, body: Any = None, who: str = "producer") -> Any:
        headers = {"Authorization": f"Bearer {self.tokens[who]}"}
        more = {} if body is None else {"json": body}
        return self._ask(method, f"/api/v1{path}", {"headers": headers, **more})

    def page(self, path: str) -> Any:
        return self._ask("GET", path, {"headers": {"Sec-Fetch-Site": "same-origin"}})

    def _ask(self, method: str, path: str, options: Any, expected: tuple[int, ...] = (200, 201, 202, 204, 302)) -> Any:
        answer = self.client.open(path, method=method, base_url=self.base, **options)
        if answer.status_code not in expected:
            raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text[:500]}")
        return answer


def _accepted(recipients: Iterable[str]) -> dict[str, Any]:
    data = {**DATA, "order_id": f"G{next(_NUMBERS)}"}
    return {"type": TYPE, "recipients": list(recipients), "data": data, "channels": ["inapp", "email"]}


def _somebody() -> str:
    return f"{PEOPLE}{next(_NUMBERS) % CROWD}"


PAGES = (
    "/admin/",
    "/admin/?window=day",
    "/admin/?window=month",
    "/admin/queues",
    "/admin/failed",
    "/admin/failed/jobs",
    "/admin/failed/jobs?user=person7",
    "/admin/failed/jobs?text=nowhere",
    "/admin/failed/registry",
    "/admin/failed/{dead}",
    "/admin/failed/actions/new?kind=retry",
    "/admin/notifications",
    "/admin/notifications?id={notification}",
    "/admin/notifications?id=m-7",
    "/admin/notifications?user=reader0",
    "/admin/notifications?type=none",
    "/admin/notifications?status=unknown",
    "/admin/notifications?producer={producer}&status=bounced",
    "/admin/notifications/{notification}",
    "/admin/users",
    "/admin/users?q=former7",
    "/admin/users?q=nobody",
    "/admin/users/reader0",
    "/admin/accounts",
    "/admin/audit",
    "/admin/audit?actor=nobody",
    "/admin/audit?action=none",
    "/admin/producers",
    "/admin/producers/{producer}",
    "/admin/providers",
    "/admin/sandbox",
    "/admin/sandbox?channel=sms",
    "/admin/sandbox/{capture}",
    "/admin/subscriptions",
    "/admin/templates",
    "/admin/types",
    "/admin/walls",
    "/metrics",
)


def operations(caller: Caller) -> dict[str, Operation]:
    """By name."""
    known = _known()
    api = caller.api
    simple: dict[str, Callable[[Any], object]] = {
        "accept one": lambda _: api("POST", "/notifications", _accepted([_somebody()])),
        "accept a hundred people": lambda _: api(
            "POST", "/notifications", _accepted({_somebody() for _ in range(100)})
        ),
        "accept a bulk": lambda _: api(
            "POST", "/notifications/bulk", {"notifications": [_accepted([_somebody()]) for _ in range(BATCH)]}
        ),
        "dry run": lambda _: api("POST", "/notifications?dry_run=true", _accepted([_somebody()])),
        # ---- the inbox
        "inbox: list": lambda _: api("GET", "/inbox?limit=30", who="person"),
        "inbox: unread": lambda _: api("GET", "/inbox?filter=unread&limit=30", who="person"),
        "inbox: search": lambda _: api("GET", "/inbox?q=order+A7+&limit=30", who="person"),
        "inbox: mark": lambda _: [
            api("POST", f"/inbox/{mark}", {"ids": [known.item]}, who="person") for mark in ("read", "unread")
        ],
        "inbox: mark all": lambda _: api("POST", "/inbox/seen", {"all": True}, who="person"),
        "inbox: why": lambda _: api("GET", f"/inbox/{known.item}/why", who="person"),
        # ---- people
        "preferences: read": lambda _: api("GET", f"/users/{FORMER}7/preferences"),
        "preferences: change": lambda _: api(
            "PATCH", f"/users/{FORMER}7/preferences", {"channels": {"sms": bool(next(_NUMBERS) % 2)}}
        ),
        "user: read": lambda _: api("GET", f"/users/{FORMER}7"),
        "user: change": lambda _: api("PATCH", f"/users/{FORMER}7", {"name": f"Alice {next(_NUMBERS)}"}),
        "user: all that is known": lambda _: api("GET", f"/users/{READER}0/export"),
        "audience: everybody": lambda _: api("POST", "/audiences/preview", {"audience": {"all": True}}),
        "audience: named": lambda _: api(
            "POST", "/audiences/preview", {"audience": {"users": [f"{PEOPLE}{n}" for n in range(50)]}}
        ),
        # ---- what producers ask
        "notification": lambda _: api("GET", f"/notifications/{known.notification}"),
        "submission": lambda _: api("GET", f"/submissions/{known.submission}"),
        "notifications": lambda _: api("GET", "/notifications"),
        "notifications: old": lambda _: api("GET", f"/notifications?after={known.old}"),
        "notifications: of a person": lambda _: api("GET", f"/notifications?user={READER}0"),
        "notifications: of a type": lambda _: api("GET", f"/notifications?type={TYPE}"),
        "notifications: of a rare type": lambda _: api("GET", "/notifications?type=security_alert"),
        "notifications: of no such type": lambda _: api("GET", "/notifications?type=none"),
        "notifications: bounced": lambda _: api("GET", "/notifications?status=bounced"),
        "notifications: unknown": lambda _: api("GET", "/notifications?status=unknown&channel=sms"),
        "events: newest": lambda _: api("GET", f"/events?after={known.cursor}"),
        "events: oldest": lambda _: api("GET", "/events"),
        "events: of a rare kind": lambda _: api("GET", "/events?types=user.unsubscribed"),
        "events: export, first page": lambda _: next(shown_events.between(now() - timedelta(days=2), now())),
        "subscriptions": lambda _: api("GET", "/subscriptions"),
        "schedules": lambda _: api("GET", "/schedules"),
        "captures": lambda _: api("GET", "/sandbox"),
    }
    return {
        **{name: Operation(work) for name, work in simple.items()},
        **{f"page: {path}": _page(caller, path.format(**vars(known))) for path in PAGES},
        "claim, send, record": Operation(deliver, _queued, BATCH),
        "inbox: changes": Operation(
            lambda seq: api("GET", f"/inbox/changes?since={seq - 5}", who="person"),
            lambda: api("GET", "/inbox?limit=1", who="person").get_json()["seq"],
        ),
        "receipts": Operation(_told, _sent, BATCH),
        "cancel": Operation(
            lambda shown: api("POST", f"/notifications/{shown}/cancel"),
            lambda: _scheduled(api),
        ),
        **{f"doctor: {name}": _check(name) for name in ("secrets", "events", "orphans", "late", "registries")},
        "scheduler: what is due": Operation(_look),
        **{f"scheduler: {task.name}": _task(task) for task in scheduler.tasks("bench")},
    }


def _look(_given: object) -> None:
    with for_glances() as connection:
        due_work.waiting(connection, now())


def _page(caller: Caller, path: str) -> Operation:
    return Operation(lambda _: caller.page(path))


def _check(name: str) -> Operation:
    return Operation(lambda _: list(examination.examine(current_settings(), [name])))


def _task(task: scheduler.Task) -> Operation:
    return Operation(lambda _: task.work())


def _known() -> SimpleNamespace:
    """Ids that stand in addresses."""
    dead = sa.select(Delivery.id).where(Delivery.status == "failed", Delivery.reason.is_(None))
    notification = _first(sa.select(Notification).where(Notification.user_id == f"{FORMER}7"))
    items = sa.select(InboxItem.id).where(InboxItem.user_id == f"{READER}0").order_by(InboxItem.seq.desc())
    newest = _first(sa.select(StreamEvent).order_by(StreamEvent.id.desc()).offset(20))
    found = SimpleNamespace(
        dead=show("dlv", _first(dead)),
        notification=show("ntf", notification.id),
        submission=show("sub", notification.submission_id),
        old=show("ntf", _first(sa.select(Notification.id).order_by(Notification.id).offset(2_000))),
        producer=show("prd", _first(sa.select(Producer.id).order_by(Producer.id))),
        capture=show("cap", _first(sa.select(Capture.id).order_by(Capture.id.desc()))),
        item=show("dlv", _first(items)),
        cursor=shown_events.cursor_of(_first(sa.select(EventStream.name)), newest.id, newest.at),
    )
    db.session.remove()
    return found


def _first(statement: "sa.Select[Any]") -> Any:
    return db.session.scalars(statement.limit(1)).one()


def _queued() -> Any:
    return rows.queue_up("email", "medium", BATCH, prefix=PEOPLE, users=CROWD)


def _sent() -> Any:
    ids = rows.sent("email", "smtp", BATCH, prefix=PEOPLE, users=CROWD)
    run = next(_NUMBERS)
    told = tuple(
        Event(id=f"growth-{run}-{number}", kind="delivered", at=now(), delivery_id=show("dlv", key))
        for number, key in enumerate(ids)
    )
    return receipts.Call("smtp", "email", told, now())


def _told(call: Any) -> object:
    return [error for error in receipts.take([call]) if error]


def _scheduled(api: Callable[..., Any]) -> str:
    later = (now() + timedelta(days=3)).isoformat()
    answer = api("POST", "/notifications", {**_accepted([_somebody()]), "send_at": later}).get_json()
    return str(answer["notifications"][0]["id"])


# ---- measuring ------------------------------------------------------------------------------------------------------


class Meter:
    """What this process and PostgreSQL spend on `work`. As a context, until its end."""

    def __init__(self) -> None:
        self.is_sqlite = db.engine.dialect.name == "sqlite"
        self.steps = 0
        self.is_counting = False
        self._listens = ("checkout", self._count_steps) if self.is_sqlite else ("checkin", self._tell_statistics)

    def __enter__(self) -> Self:
        sa.event.listen(db.engine, *self._listens)
        return self

    def __exit__(self, *_: object) -> None:
        sa.event.remove(db.engine, *self._listens)

    def cost(self, operation: Operation, times: int, *, is_counted: bool) -> dict[str, float]:
        cpu_ns = server_ns = 0
        self.is_counting, self.steps = is_counted, 0
        before = self._pages() if is_counted else 0
        for _ in range(times):
            given = operation.prepare()
            db.session.remove()
            servers, begun = self._servers_ns(), time.process_time_ns()
            operation.work(given)
            db.session.remove()
            cpu_ns += time.process_time_ns() - begun
            server_ns += sum(max(0, now - servers.get(pid, now)) for pid, now in self._servers_ns().items())
        looked_at = (self.steps if self.is_sqlite else self._pages() - before) if is_counted else 0
        each = times * operation.size
        return {"cpu_us": cpu_ns / 1e3 / each, "server_us": server_ns / 1e3 / each, "looked_at": looked_at / each}

    def _servers_ns(self) -> dict[int, int]:
        """CPU time of the processes that serve this database."""
        if self.is_sqlite:
            return {}
        found = {}
        for pid in self._pids():
            try:
                found[pid] = int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])
            except OSError:
                continue
        return found

    def _pids(self) -> list[int]:
        return [
            connection.info.backend_pid
            for record in list(db.engine.pool._pool.queue)  # type: ignore[attr-defined]
            if (connection := record.driver_connection) is not None
        ]

    def _count_steps(self, connection: Any, *_: Any) -> None:
        connection.set_progress_handler(self._step if self.is_counting else None, _STEPS)

    def _step(self) -> int:
        self.steps += _STEPS
        return 0

    def _tell_statistics(self, connection: Any, *_: Any) -> None:
        if self.is_counting:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_stat_force_next_flush()")
            connection.commit()

    def _pages(self) -> int:
        if self.is_sqlite:
            return 0
        db.session.remove()
        pages = db.session.execute(
            sa.text("SELECT blks_hit + blks_read FROM pg_stat_database WHERE datname = current_database()")
        ).scalar_one()
        db.session.remove()
        return int(pages)


def main() -> None:
    logs.configure(as_json=True)
    channels.ADAPTERS = (
        InstantSms,
        InstantEmail,
        *(adapter for adapter in channels.ADAPTERS if adapter.channel.name not in ("email", "sms")),
    )
    app = jobs.app()
    with app.app_context():
        caller = Caller(app)
        known = operations(caller)
        print(json.dumps(list(known)), flush=True)
        with Meter() as meter:
            for line in sys.stdin:
                asked = json.loads(line)
                cost = meter.cost(known[asked["name"]], asked["times"], is_counted=asked["is_counted"])
                print(json.dumps(cost), flush=True)


if __name__ == "__main__":
    main()
