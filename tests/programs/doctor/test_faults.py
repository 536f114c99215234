"""Everything that can be wrong, made so for real: the sentence, the remedy, and the exit code."""

import contextlib
import itertools
import re
import sqlite3
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
import sqlalchemy as sa
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from apiflask import APIFlask

from notifier.batchworker import BatchWorker
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.encryption import KeyRing, Vault
from notifier.ground.extensions import db
from notifier.ground.ids import new_id
from notifier.ledgers import event_readers
from notifier.models import (
    Address,
    BulkAction,
    Delivery,
    Event,
    EventReader,
    InstallationSecret,
    Notification,
    Provider,
    Submission,
)
from notifier.signals import queueing
from notifier.signals.queueing import Doorbell
from tests.programs.doctor.conftest import PASSWORD, Doctor
from tests.running import eventually, free_port
from tests.watched_redis import WatchedRedis

pytestmark = [
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True, scope="session"),
    pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS"),
]

Config = Callable[..., None]


@pytest.fixture
def configure(app: APIFlask) -> Iterator[Config]:
    """`configure(maxmemory="1mb")`: settings of the Redis of the tests, until the test ends."""
    client: redis.Redis = app.extensions["redis"]
    before: dict[str, str] = {}

    def call(**options: str) -> None:
        for name, value in options.items():
            key = name.replace("_", "-")
            before.setdefault(key, client.config_get(key)[key])
            client.config_set(key, value)

    yield call
    for key, value in before.items():
        client.config_set(key, value)


@pytest.fixture
def mail_port() -> Iterator[int]:
    """A mail server that knows one user, "notifier"."""
    port = free_port()

    def check(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        return AuthResult(success=data.login == b"notifier", handled=data.login == b"notifier")

    controller = Controller(
        object(), "127.0.0.1", port, authenticator=check, auth_required=True, auth_require_tls=False
    )
    controller.start()
    yield port
    controller.stop(no_assert=True)


def one(
    doctor: Doctor, check: str, level: str = "fault", **changes: str | None
) -> tuple[int, list[tuple[str, str | None]]]:
    """The exit code, and what one check found of that level."""
    told = doctor(check, **changes) if check != "settings" else doctor(**changes)
    return told.code, [(what, remedy) for name, found, what, remedy in told.findings if (name, found) == (check, level)]


@pytest.mark.slow
def test_when_all_is_well_only_what_the_tests_lack_is_mentioned(
    app: APIFlask, doctor: Doctor, worker: BatchWorker, url: str
) -> None:
    told = doctor(PUBLIC_URL=url)

    assert (told.code, told.of("fault"), told.of("skipped")) == (0, [], [])
    assert [what.partition(",")[0] for what in told.of("warning")] == [
        "keys: SECRET_KEY can be guessed: it should be at least 32 random characters",
        "redis: Redis keeps nothing on disk: after its restart all open deliveries are rung again from the database",
    ]
    assert f"public-url: {url} leads here" in told.of("ok")


AWAY = f"redis://:{PASSWORD}@127.0.0.1:1"
UNTIL_THEN = "Until then requests are accepted and wait."


@pytest.mark.parametrize(
    ("check", "changes", "what", "remedy"),
    [
        (
            "redis",
            {"REDIS_URL": AWAY},
            "Redis (REDIS_URL) cannot be reached: Error ",
            f"Start it, or correct REDIS_URL. {UNTIL_THEN}",
        ),
        (
            "redis",
            {"REDIS_URL": None},
            "the embedded Redis cannot be reached: Error ",
            f"Start Notifier: make run. {UNTIL_THEN}",
        ),
        (
            "database",
            {"DATABASE_URL": f"postgresql://me:{PASSWORD}@127.0.0.1:1/none"},
            "the database postgresql://me:***@127.0.0.1:1/none cannot be reached: ",
            "Start it, or correct DATABASE_URL.",
        ),
        (
            "database",
            {"DATABASE_URL": "sqlite:////nowhere/at.db"},
            "the database sqlite:////nowhere/at.db has not been set up",
            "Run: python -m notifier migrate",
        ),
        (
            "secrets",
            {"ENCRYPTION_KEYS": KeyRing.generate()},
            "the keys do not fit the database: no key of the ring fits",
            "Start with the ENCRYPTION_KEYS",
        ),
        (
            "keys",
            {"ENCRYPTION_KEYS": None},
            "ENCRYPTION_KEYS: neither set nor generated yet",
            "Run: python -m notifier migrate",
        ),
        (
            "providers",
            {"VAPID_KEY": "no-key"},
            "webpush (Web Push) cannot be used: VAPID_KEY is not a private key",
            "Correct it in the environment, or unset VAPID_KEY to use what migrate made.",
        ),
        (
            "providers",
            {"SMTP_URL": f"smtp://me:{PASSWORD}@127.0.0.1:1"},
            "smtp (SMTP) cannot be used: the mail server refuses connections on this port",
            "Correct it",
        ),
        (
            "providers",
            {"SMTP_URL": f"smtp://me:{PASSWORD}@mail.example/path"},
            "smtp (SMTP) cannot be used: SMTP_URL must be",
            "Correct it in the environment.",
        ),
        (
            "providers",
            {"VAPID_KEY_FILE": "/nowhere"},
            "VAPID_KEY_FILE cannot be read: No such file or directory",
            "Correct it in the environment.",
        ),
        (
            "public-url",
            {"PUBLIC_URL": "http://127.0.0.1:1"},
            "http://127.0.0.1:1 cannot be reached from here: nothing listens there",
            "Start it: python -m",
        ),
        (
            "settings",
            {"RATE_LIMIT": "often"},
            "RATE_LIMIT must be like 200000/minute",
            "Correct it in the environment.",
        ),
    ],
    ids=itertools.count(),
)
def test_a_setting_that_is_wrong(
    app: APIFlask, doctor: Doctor, check: str, changes: dict[str, str | None], what: str, remedy: str
) -> None:
    code, [(said, advised)] = one(doctor, check, **changes)

    assert (code, said[: len(what)], (advised or "")[: len(remedy)]) == (1, what, remedy)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"SECRET_KEY": "secret"}, "SECRET_KEY can be guessed"),
        ({"ENCRYPTION_KEYS": "a:" + "A" * 43 + "="}, "the encryption key a is not random"),
        ({"ENCRYPTION_KEYS": "a:" + "YWJj" * 10 + "YWI="}, "the encryption key a is not random"),
    ],
)
def test_a_weak_key_is_a_fault_in_production(app: APIFlask, doctor: Doctor, changes: dict[str, str], what: str) -> None:
    strong = {"SECRET_KEY": "0123456789abcdefghijklmnopqrstuvwxyz"}
    code, [(said, _)] = one(doctor, "keys", **{**strong, **changes}, NOTIFIER_ENV="production")

    assert (code, said.partition(":")[0]) == (1, what)


@pytest.mark.parametrize(
    ("options", "what", "remedy"),
    [
        (
            {"maxmemory_policy": "allkeys-lru"},
            "Redis may discard queued work (maxmemory-policy allkeys-lru)",
            "Set maxmemory-policy to noeviction",
        ),
        (
            {"maxmemory": "100mb", "maxmemory_policy": "volatile-lru"},
            "Redis may discard queued work (maxmemory-policy volatile-lru)",
            "Set maxmemory-policy",
        ),
        ({"maxmemory": "500kb"}, "Redis is almost full: it uses ", "Raise maxmemory, or add workers"),
        (
            {"replicaof": "127.0.0.1 1"},
            "this Redis is a replica: nothing can be written",
            "Point REDIS_URL at the primary server.",
        ),
    ],
)
def test_a_redis_that_does_not_keep_what_it_is_given(
    app: APIFlask, doctor: Doctor, configure: Config, options: dict[str, str], what: str, remedy: str
) -> None:
    if "replicaof" in options:
        app.extensions["redis"].replicaof(*options["replicaof"].split())
    else:
        configure(**options)
    try:
        code, [(said, advised)] = one(doctor, "redis")
    finally:
        app.extensions["redis"].replicaof("NO", "ONE")

    assert (code, said[: len(what)], (advised or "")[: len(remedy)]) == (1, what, remedy)


@pytest.mark.slow
def test_a_redis_that_nothing_would_take_over_from(app: APIFlask, doctor: Doctor, tmp_path: Path) -> None:
    watched = WatchedRedis(tmp_path)
    try:
        code, found = one(doctor, "redis", "ok", REDIS_URL=watched.url)
        assert (code, found[1]) == (0, (f"Sentinel calls 127.0.0.1:{watched.servers[0]} the master", None))
        watched.kill(watched.sentinels[0])
        code, found = one(doctor, "redis", "warning", REDIS_URL=watched.url)
        assert (code, found[0]) == (0, ("2 of 3 Sentinels answer", "Start the others, or correct REDIS_URL."))
        watched.kill(watched.sentinels[1])
        watched.kill(watched.servers[1])
        eventually(lambda: len(one(doctor, "redis", REDIS_URL=watched.url)[1]) == 2)
        code, found = one(doctor, "redis", REDIS_URL=watched.url)
        assert (code, [what for what, _ in found]) == (
            1,
            [
                "the Sentinels are too few to agree on a new master",
                "the master has no replica: nothing can take over from it",
            ],
        )
        watched.kill(watched.servers[0])
        eventually(lambda: "knows a master 'mymaster'" in one(doctor, "redis", REDIS_URL=watched.url)[1][0][0])
    finally:
        watched.stop()


def test_a_mail_server_is_signed_in_to(app: APIFlask, doctor: Doctor, mail_port: int) -> None:
    code, found = one(doctor, "providers", "ok", SMTP_URL=f"smtp://notifier:{PASSWORD}@127.0.0.1:{mail_port}")

    assert (code, found[0]) == (0, (f"smtp (SMTP): 127.0.0.1:{mail_port} lets us in", None))


def test_a_mail_server_that_lets_us_not_in(app: APIFlask, doctor: Doctor, mail_port: int) -> None:
    code, found = one(doctor, "providers", SMTP_URL=f"smtp://me:{PASSWORD}@127.0.0.1:{mail_port}")

    what = "smtp (SMTP) cannot be used: the mail server answered 535 to the sign-in"
    assert (code, found) == (1, [(what, "Correct it in the environment, or fix what it points to.")])


def somebody_else(_environ: Any, start: Any) -> list[bytes]:
    start("200 OK", [("Content-Type", "application/json")])
    return [b'{"status":"ok"}']


def moved(_environ: Any, start: Any) -> list[bytes]:
    start("301 Moved Permanently", [("Location", "https://elsewhere.example/")])
    return [b""]


@pytest.mark.parametrize(
    ("who", "what"),
    [
        (somebody_else, "something other than Notifier answers at {url}/healthz (200)"),
        (moved, "{url} redirects to https://elsewhere.example/"),
    ],
)
def test_a_public_url_that_leads_elsewhere(app: APIFlask, doctor: Doctor, serve: Any, who: Any, what: str) -> None:
    url = serve(who)

    code, [(said, _)] = one(doctor, "public-url", PUBLIC_URL=url)

    assert (code, said) == (1, what.format(url=url))


@pytest.mark.slow
def test_a_public_url_that_leads_to_another_notifier(app: APIFlask, doctor: Doctor, url: str) -> None:
    code, [(said, _)] = one(
        doctor, "public-url", PUBLIC_URL=url, SECRET_KEY="of another installation, or another process"
    )

    assert (code, said) == (1, f"another Notifier answers at {url}")


@pytest.mark.parametrize(
    ("passed", "trusted", "said"),
    [
        (1, 0, "{url} leads here through 1 proxy, but TRUSTED_PROXIES is 0: everybody behind the unknown one"),
        (2, 1, "{url} leads here through 2 proxies, but TRUSTED_PROXIES is 1: everybody behind the unknown one"),
        (0, 1, "{url} leads here through 0 proxies, but TRUSTED_PROXIES is 1: strangers may claim any address"),
        (1, 1, None),
    ],
)
def test_a_public_url_that_leads_here_through_other_proxies_than_are_trusted(
    app: APIFlask, doctor: Doctor, serve: Any, passed: int, trusted: int, said: str | None
) -> None:
    def proxied(environ: Any, start: Any) -> Any:
        return app({**environ, "HTTP_X_FORWARDED_FOR": ", ".join(["203.0.113.9"] * passed)}, start)

    url = serve(proxied)
    _, warned = one(doctor, "public-url", "warning", PUBLIC_URL=url, TRUSTED_PROXIES=str(trusted))

    assert len(warned) == (said is not None)
    assert all(what.startswith((said or "").format(url=url)) for what, _ in warned)


def test_in_production_an_unknown_proxy_is_a_fault(app: APIFlask, doctor: Doctor, serve: Any) -> None:
    url = serve(lambda environ, start: app({**environ, "HTTP_X_FORWARDED_FOR": "203.0.113.9"}, start))
    _, [(said, remedy)] = one(doctor, "public-url", PUBLIC_URL=url, NOTIFIER_ENV="production")

    assert said == (
        f"{url} leads here through 1 proxy, but TRUSTED_PROXIES is 0: all requests that come that way are refused"
    )
    assert remedy == "Set TRUSTED_PROXIES to 1, if people come that way, too."


def test_nobody_works(app: APIFlask, doctor: Doctor) -> None:
    assert one(doctor, "processes") == (
        1,
        [
            ("no worker is running: nothing is sent", "Start one: python -m notifier worker"),
            (
                (
                    "no scheduler is running: nothing scheduled, held back or retried is sent, and "
                    "nothing lost is rung again"
                ),
                "Start one: python -m notifier scheduler",
            ),
        ],
    )


def test_nobody_takes_from_a_queue_or_all_are_suspended(app: APIFlask, doctor: Doctor, worker: BatchWorker) -> None:
    client = app.extensions["redis"]
    client.hset(worker.key, "queues", "email.high,email.low")
    queueing.ring([Doorbell(new_id(), "sms", "high"), Doorbell(new_id(), "email", "high")])
    client.set("rq:suspended", 1)

    assert one(doctor, "processes") == (
        1,
        [
            ("all workers are suspended", 'Run: rq resume --url "$REDIS_URL"'),
            (
                "1 job in the queue sms.high, and no worker serves it",
                "Start one: python -m notifier worker --queues 'sms.high'",
            ),
        ],
    )


def test_the_clock_of_a_host_is_wrong(app: APIFlask, doctor: Doctor, worker: BatchWorker) -> None:
    """A worker's entry lives on from its last beat, whatever time it thought that was; a scheduler tells by how much it
    is off.
    """
    client = app.extensions["redis"]
    client.hset(
        worker.key,
        mapping={
            "hostname": "fast",
            "last_heartbeat": (now() + timedelta(seconds=95)).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        },
    )
    client.set("notifier:scheduler_clock:here:1", "-600")

    code, found = one(doctor, "clocks")

    assert (code, [re.sub(r"[\d.]+", "…", what) for what, _ in found]) == (
        1,
        ["the clock of fast is … s ahead of Redis'", "the clock of here is … s behind Redis'"],
    )


@pytest.fixture
def dead_letter(app: APIFlask) -> Callable[..., Delivery]:
    """`dead_letter(status="failed", …)`: a delivery in that state, with all that it needs."""

    def call(**fields: Any) -> Delivery:
        with transaction() as session:
            submission = Submission(type="order_shipped", recipients=1, expanded=1, status="expanded")
            session.add(submission)
            session.flush()
            notification = Notification(
                submission_id=submission.id,
                user_id="alice",
                type="order_shipped",
                category="transactional",
                priority="high",
            )
            session.add(notification)
            session.flush()
            delivery = Delivery(notification_id=notification.id, channel="email", priority="high", **fields)
            session.add(delivery)
        return delivery

    return call


@pytest.mark.slow
def test_rows_that_do_not_move_on_and_that_redis_has_forgotten(
    app: APIFlask, doctor: Doctor, worker: BatchWorker, dead_letter: Any
) -> None:
    long_ago = now() - timedelta(hours=1)
    dead_letter(status="failed", failed_at=long_ago, outcome="permanent", code="550")
    dead_letter(status="sending", wake_at=long_ago, tries=1)
    dead_letter(status="queued", wake_at=long_ago)
    dead_letter(status="waiting", wake_at=long_ago)
    with transaction() as session:
        session.add(Submission(type="order_shipped", recipients=9, expanded=1, status="expanding", wake_at=long_ago))
        session.add(BulkAction(kind="retry", filter={}, total=9, actor="alice", created_at=long_ago))

    told = doctor("late", "registries")

    assert (told.code, [line for line in told.of("fault") if line.startswith(("late", "registries"))]) == (
        1,
        [
            "late: 1 delivery is being sent by a worker that is gone: the lease lapsed more than a minute ago",
            "late: 1 queued delivery has not been looked at for more than a minute: a lost doorbell is not rung again",
            "late: 1 submission is still to be expanded, more than a minute late",
            "late: the retry of many failed jobs makes no progress",
            "registries: 1 failed delivery is unknown to RQ's failed-job registries: Redis has forgotten them",
        ],
    )
    assert [line for line in told.of("warning") if line.startswith(("late", "registries"))] == [
        "late: 1 delivery is due and held back",
        "registries: 1 of 1 queued delivery looked at have no job in Redis",
    ]


def test_jobs_in_the_registries_that_no_row_knows(app: APIFlask, doctor: Doctor, worker: BatchWorker) -> None:
    queueing.restore_failed([Doorbell(new_id(), "email", "high")])

    code, found = one(doctor, "registries", "warning")

    assert (code, [what for what, _ in found]) == (
        0,
        ["RQ's failed-job registries hold 1 job more than there are failed deliveries"],
    )


@pytest.mark.slow
def test_rows_that_refer_to_nothing(app: APIFlask, doctor: Doctor, dead_letter: Any) -> None:
    delivery = dead_letter(status="sent")
    path = Path(db.engine.url.database or "")
    # Which knows no foreign keys unless it is told
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM notification WHERE id = ?", (delivery.notification_id.hex,))
    try:
        code, found = one(doctor, "orphans")
    finally:
        with transaction() as session:
            session.execute(sa.delete(Delivery))

    assert (code, [what for what, _ in found]) == (
        1,
        ["1 row refers to a notification that is not there (delivery.notification_id), of those looked at"],
    )


def test_values_that_were_written_with_a_key_that_is_gone(
    app: APIFlask, doctor: Doctor, cast: Any, environment: dict[str, str]
) -> None:
    gone = Vault()
    gone.open(KeyRing.parse("gone:" + KeyRing.generate().partition(":")[2]))
    of_alice = sa.select(Address.id).where(Address.user_id == "alice", Address.channel == "email").scalar_subquery()
    with transaction() as session:
        sealed = sa.bindparam("sealed", gone.encrypt(b"alice@example.test", "address.value"), sa.LargeBinary)
        session.execute(
            sa.update(Address.__table__)
            .where(Address.id == of_alice)
            .values(value=sa.type_coerce(sealed, sa.LargeBinary))
        )

    code, [(what, remedy)] = one(doctor, "secrets")

    assert (code, what.partition(" cannot be read: ")[2]) == (1, "written with the key gone (address.value)")
    assert (remedy or "").startswith("Put the key gone that they were written with at the end of ENCRYPTION_KEYS")


def test_accounts_of_providers_that_cannot_be_used(app: APIFlask, doctor: Doctor) -> None:
    other = Vault()
    other.open(KeyRing.parse(KeyRing.generate()))
    with transaction() as session:
        session.add(Provider(channel="email", adapter="smtp", name="a-bare", settings={}))
        session.add(Provider(channel="email", adapter="pigeon", name="b-odd", settings={}))
        session.add(Provider(channel="email", adapter="smtp", name="c-off", settings={}, is_on=False))
        session.add(Provider(channel="email", adapter="smtp", name="d-sealed", settings={}))
        session.add(
            Provider(channel="email", adapter="smtp", name="e-wrong", settings={"SMTP_URL": f"http://{PASSWORD}@x"})
        )
        session.flush()
        sealed = sa.bindparam("sealed", other.encrypt(b"{}", "provider.settings"), sa.LargeBinary)
        session.execute(
            sa.update(Provider.__table__)
            .where(Provider.name == "d-sealed")
            .values(settings=sa.type_coerce(sealed, sa.LargeBinary))
        )

    code, found = one(doctor, "providers")

    assert (code, [what.partition("; ")[0] for what, _ in found]) == (
        1,
        [
            "a-bare (SMTP) lacks SMTP_URL",
            "b-odd is an account of pigeon, which this program does not know",
            "the settings of d-sealed cannot be read with the ENCRYPTION_KEYS",
            "e-wrong (SMTP) cannot be used: SMTP_URL must be smtp://[user:password@]host:port",
        ],
    )


def test_settings_that_providers_share_make_none_of_them_incomplete(app: APIFlask, doctor: Doctor) -> None:
    """An account of Twilio's for SMS is not half an account for calls, and one without a sender is for nothing."""
    account = {"TWILIO_ACCOUNT_SID": "AC" + "0" * 32, "TWILIO_AUTH_TOKEN": PASSWORD, "TWILIO_URL": "http://127.0.0.1:9"}

    told = [
        [what for what, _ in one(doctor, "providers", **account, **senders)[1] if "lacks" in what]
        for senders in ({"TWILIO_FROM": "+15005550006"}, {"TWILIO_FROM": None})
    ]

    assert told == [[], ["Twilio SMS lacks TWILIO_FROM or TWILIO_MESSAGING_SERVICE, and is not used"]]


def test_secrets_that_migrate_has_not_made(app: APIFlask, doctor: Doctor) -> None:
    row = db.session.get_one(InstallationSecret, "digest_key")
    kept = row.sealed
    with transaction() as session:
        session.execute(sa.delete(InstallationSecret).where(InstallationSecret.name == "digest_key"))
    try:
        code, found = one(doctor, "secrets")
    finally:
        with transaction() as session:
            session.add(InstallationSecret(name="digest_key", sealed=kept))

    assert (code, found) == (1, [("the database has no digest_key", "Run: python -m notifier migrate")])


def test_the_servers_own_name_and_version_are_told(app: APIFlask, doctor: Doctor) -> None:
    """By a real server's INFO: Valkey calls itself Redis 7.2.4 there, and tells its own version beside it."""
    info = app.extensions["redis"].info()
    name, version = ("Valkey", "valkey_version") if "valkey_version" in info else ("Redis", "redis_version")
    assert ("redis", "ok", f"it is {name} {info[version]}", None) in doctor("redis").findings


# ---- the sink of the events -----------------------------------------------------------------------------------------

SINK_URL = f"https://user:{PASSWORD}@collector.example/"


def test_a_sink_that_nobody_sends_to_is_a_fault(app: APIFlask, doctor: Doctor) -> None:
    code, [(what, remedy)] = one(doctor, "events", EVENTS_SINK=SINK_URL)
    assert (code, what) == (1, "nobody sends events to https://collector.example")
    assert remedy == "Start one: python -m notifier sink"


@pytest.mark.parametrize(
    ("columns", "age", "level", "what"),
    [
        ({}, timedelta(), "ok", "https://collector.example has had all events of more than a minute ago"),
        ({}, timedelta(minutes=3), "warning", "https://collector.example is 3 minutes behind"),
        ({}, timedelta(days=2), "warning", "https://collector.example is 48 hours behind"),
        ({"trouble": "http_401"}, timedelta(), "fault", "https://collector.example does not take events: http_401"),
        (
            {"set_aside": 1, "refused": "c0ffee"},
            timedelta(),
            "warning",
            "https://collector.example has refused 1 event for good; the last: evt_c0ffee",
        ),
        ({"missed": 1234}, timedelta(), "warning", "1,234 events were deleted before https://collector.example had"),
    ],
)
def test_what_a_sink_has_not_had_is_told(
    app: APIFlask, doctor: Doctor, columns: dict[str, Any], age: timedelta, level: str, what: str
) -> None:
    event_readers.take(event_readers.SINK, "a", lambda _holder: False)
    with transaction() as session:
        session.execute(sa.insert(Event), {"kind": "delivery.sent", "at": now() - age, "is_test": False})
        if columns:
            session.execute(sa.update(EventReader).values(columns))
    _, found = one(doctor, "events", level, EVENTS_SINK=SINK_URL)
    assert [said for said, _ in found if said.startswith(what)] != []


def test_without_a_sink_nothing_is_missed(app: APIFlask, doctor: Doctor) -> None:
    assert one(doctor, "events", "ok") == (0, [("events are sent nowhere (EVENTS_SINK is not set)", None)])
