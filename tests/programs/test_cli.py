"""The commands, run as a person runs them."""

import contextlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from apiflask import APIFlask
from sqlalchemy import delete, func, select
from sqlalchemy import update as sa_update

from notifier.access import accounts, keys, signing_keys
from notifier.catalogue import templates
from notifier.core.wording import Words
from notifier.ground.database import transaction
from notifier.ground.encryption import KeyRing
from notifier.ground.extensions import db
from notifier.models import Account, AuditEntry, EventType, Flag, Notification, Producer, Template, User
from notifier.queries import templates as sources
from tests.access.test_second_factor import set_up
from tests.commands import run_command
from tests.running import ROOT, free_port

# What the commands do is tested on both databases elsewhere; a process for each takes a while.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True, scope="session"),
]

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(environment: dict[str, str]) -> Run:
    """`run("create-admin", "x@example.test")` on the database of the tests."""

    def command(*words: str, **changes: str) -> "subprocess.CompletedProcess[str]":
        return run_command(words, {"PATH": os.environ["PATH"], "PORT": str(free_port()), **environment, **changes})

    return command


def test_keys_are_listed_and_a_lost_one_is_forgotten(app: APIFlask, run: Run, environment: dict[str, str]) -> None:
    old, new = environment["ENCRYPTION_KEYS"], KeyRing.generate()
    old_id, new_id = (ring.partition(":")[0] for ring in (old, new))
    both = {"ENCRYPTION_KEYS": f"{new},{old}"}
    digests = ["digest", "key", "1", "digests"]
    assert run("keys").stdout.split() == [old_id, "encrypts", *digests]
    assert run("keys", **both).stdout.split() == [new_id, "encrypts", old_id, "still", "needed", *digests]
    assert f"encrypt everything with {new_id}" in run("keys", "reencrypt", **both).stdout
    assert "Nothing was begun" in run("keys", "reencrypt", **both).stderr
    refused = run("keys")  # without the new one
    assert (refused.returncode, f"encrypted with the key {new_id}" in refused.stderr) == (1, True)
    assert run("keys", "forget", new_id).returncode == 0
    assert run("keys").returncode == 0
    assert run("keys", "forget", new_id).returncode == 1


def test_a_new_digest_key_is_made_on_request(app: APIFlask, run: Run) -> None:
    assert run("keys", "reencrypt", "--new-digest-key").returncode == 0
    listed = run("keys").stdout
    assert ("digests in a minute" in listed, "All processes know the digest key 2 by" in listed) == (True, True)


def test_create_admin_makes_an_account_that_may_sign_in(app: APIFlask, run: Run) -> None:
    done = run("create-admin", "Ada@Example.test")
    assert done.returncode == 0
    account = accounts.check_password("ada@example.test", done.stdout.splitlines()[-1])
    assert account is not None
    assert account.role == "admin"
    assert db.session.get(User, account.user_id) is not None
    told = db.session.execute(select(AuditEntry.actor, AuditEntry.action, AuditEntry.subject)).all()
    assert ("command line", "account.created", "ada@example.test") in [tuple(entry) for entry in told]


@pytest.mark.parametrize(
    ("email", "sentence"),
    [("ada@example.test", "There is already an account for ada@example.test."), ("nobody", "No account was created")],
)
def test_create_admin_refuses_in_a_sentence(app: APIFlask, run: Run, email: str, sentence: str) -> None:
    accounts.create_account("ada@example.test", "secret", "admin", "ada")
    done = run("create-admin", email)
    assert (done.returncode, sentence in done.stderr, "Traceback" in done.stderr) == (1, True, False)
    assert db.session.scalar(select(func.count()).select_from(Account)) == 1


def test_reset_password_ends_what_the_old_one_opened(app: APIFlask, run: Run) -> None:
    accounts.create_account("ada@example.test", "secret-of-before", "admin", "ada")

    done = run("reset-password", "Ada@Example.test")

    assert (done.returncode, "signed out everywhere" in done.stdout) == (0, True)
    db.session.rollback()
    assert accounts.check_password("ada@example.test", "secret-of-before") is None
    assert accounts.check_password("ada@example.test", done.stdout.splitlines()[-1]) is not None
    refused = run("reset-password", "nobody@example.test")
    assert (refused.returncode, "There is no account for nobody@example.test." in refused.stderr) == (1, True)


@pytest.mark.parametrize(
    ("words", "prefix", "scopes", "is_test"),
    [
        ((), "ntf_live_", {"notify", "read", "users"}, False),
        (("--scope", "notify", "read"), "ntf_live_", {"notify", "read"}, False),
        (("--scope", "notify", "--scope", "admin", "--test"), "ntf_test_", {"notify", "admin"}, True),
    ],
)
def test_create_producer_prints_the_key_alone_on_the_last_line(
    app: APIFlask, run: Run, words: tuple[str, ...], prefix: str, scopes: set[str], is_test: bool
) -> None:
    done = run("create-producer", "Shop", *words)
    assert done.returncode == 0, done.stderr
    key = done.stdout.splitlines()[-1]
    identity = keys.find_key(key)
    assert identity is not None
    assert (key[:9], identity.scopes, identity.is_test) == (prefix, scopes, is_test)


def test_a_key_is_limited_to_networks(app: APIFlask, run: Run) -> None:
    made = run("create-producer", "Shop", "--network", "203.0.113.0/24", "--network", "2001:db8::/32")
    identity = keys.find_key(made.stdout.splitlines()[-1])
    assert identity is not None
    assert [str(network) for network in identity.networks or ()] == ["203.0.113.0/24", "2001:db8::/32"]


def test_a_lost_second_factor_is_removed(app: APIFlask, run: Run) -> None:
    ada = accounts.create_account("ada@example.test", None, "admin", "ada").id
    set_up(ada)
    done = run("remove-second-factor", "Ada@example.test")
    assert (done.returncode, "signs in without a second factor now" in done.stdout) == (0, True)
    db.session.rollback()
    account = accounts.find(ada)
    assert account is not None
    assert account.second_factor_at is None
    told = db.session.scalars(select(Notification).where(Notification.user_id == "ada")).all()
    assert [(one.type, one.data["event"]) for one in told] == [("account_security", "two_factor_disabled")]
    again = run("remove-second-factor", "ada@example.test")
    assert (again.returncode, "has no second factor" in again.stderr) == (1, True)


def test_signing_keys_are_replaced(app: APIFlask, run: Run) -> None:
    first = signing_keys.current().kid

    assert run("replace-signing-keys").returncode == 0

    db.session.rollback()  # what it read before
    signing_keys.forget_cached()
    assert [key["kid"] == first for key in signing_keys.published()] == [False]


def test_a_producers_sites_are_set_shown_and_lifted(app: APIFlask, run: Run) -> None:
    made = run("create-producer", "Shop", "--origin", "https://shop.example", "--origin", "http://localhost:3000/")
    assert keys.find_key(made.stdout.splitlines()[-1]) is not None
    # Looking changes nothing
    assert run("producers", "origins", "Shop").stdout == "Shop: https://shop.example http://localhost:3000\n"
    assert run("producers", "origins", "Shop", "https://new.example").stdout == "Shop: https://new.example\n"
    [listed] = run("producers", "list").stdout.splitlines()
    shown_id, *rest = listed.split()
    assert rest == ["Shop", "https://new.example"]
    assert run("producers", "origins", shown_id, "any").stdout == "Shop: any site\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("create-producer", "Blog", "--origin", "shop.example"), "'shop.example' is not an origin"),
        (("create-producer", "Blog", "--network", "203.0.113.7/24"), "write 203.0.113.0/24 for all of it"),
        (
            ("producers", "origins", "Shop", "https://shop.example/inbox"),
            "Nothing was changed: 'https://shop.example/inbox' is not an origin",
        ),
        (("producers", "origins", "Nobody", "any"), "There is no producer Nobody."),
        (("producers", "origins", "Twin", "any"), "2 producers are named Twin"),
    ],
)
def test_wrong_sites_and_unknown_producers_change_nothing(
    app: APIFlask, run: Run, words: tuple[str, ...], sentence: str
) -> None:
    for name in ("Shop", "Twin", "Twin"):
        keys.create_producer(name, allowed_origins=["https://old.example"])
    done = run(*words)
    assert (done.returncode, sentence in done.stderr, "Traceback" in done.stderr) == (1, True, False)
    db.session.rollback()
    assert list(db.session.scalars(select(Producer.allowed_origins))) == [["https://old.example"]] * 3


def test_a_flag_is_set_shown_and_cleared(app: APIFlask, run: Run) -> None:
    assert run("flags").stdout == "No flag is set: every channel and provider is on for everybody.\n"
    assert run("flags", "set", "sms", "10").stdout.startswith("sms is on for 10 % of the users. ")
    assert run("flags", "list").stdout.split() == ["sms", "on", "for", "10", "%", "of", "the", "users"]
    assert run("flags", "clear", "sms").returncode == 0


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("set", "pigeon", "10"), 1, "Nothing was changed: there is no channel or provider 'pigeon'; there are: "),
        (
            ("set", "sms", "101"),
            1,
            "Nothing was changed: the percentage must be a whole number from 0 (off) to 100 (on).",
        ),
        (("set", "sms", "half"), 2, "invalid int value: 'half'"),
        (("clear", "sms"), 1, "There is no flag sms."),
    ],
)
def test_a_wrong_flag_changes_nothing(
    app: APIFlask, run: Run, words: tuple[str, ...], code: int, sentence: str
) -> None:
    done = run("flags", *words)
    assert (done.returncode, sentence in done.stderr, "Traceback" in done.stderr) == (code, True, False)
    assert db.session.scalar(select(func.count()).select_from(Flag)) == 0


def test_an_unknown_scope_makes_nothing(app: APIFlask, run: Run) -> None:
    done = run("create-producer", "Shop", "--scope", "everything")
    assert done.returncode == 1
    assert "There is no scope everything" in done.stderr
    assert db.session.scalar(select(func.count()).select_from(Producer)) == 0


def test_migrate_again_changes_nothing_and_adds_the_key_of_the_settings_once(app: APIFlask, run: Run) -> None:
    key = "k" * 40
    assert [run("migrate", NOTIFIER_PRODUCER_KEY=key).returncode for _ in range(2)] == [0, 0]
    assert keys.find_key(key) is not None
    assert db.session.scalar(select(func.count()).select_from(Producer)) == 1


def test_migrate_makes_the_folder_of_the_database_in_production_too(run: Run, tmp_path: Path) -> None:
    home = tmp_path / "not" / "yet"
    anew = {
        "NOTIFIER_ENV": "production",
        "NOTIFIER_HOME": str(home),
        "DATABASE_URL": "",
        "PUBLIC_URL": "https://notifier.example",
        "TRUSTED_PROXIES": "1",
    }
    migrated = run("migrate", **anew)
    assert (migrated.returncode, (home / "notifier.db").exists()) == (0, True), migrated.stderr


def test_a_folder_that_cannot_be_made_is_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused = run("migrate", DATABASE_URL=f"sqlite:///{tmp_path / 'file' / 'below' / 'notifier.db'}")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith(f"The folder {tmp_path / 'file' / 'below'} cannot be created: Not a directory.")


@pytest.mark.parametrize(
    ("command", "stands_at", "sentence"),
    [
        (
            "flags",
            None,
            (
                "has not been set up yet. Run: python -m notifier migrate. If another is meant, correct "
                "NOTIFIER_HOME or DATABASE_URL."
            ),
        ),
        ("flags", "0001", "The database is at migration 0001, the program at "),
        ("flags", "9999", "The database is at migration 9999, which this program does not know"),
        ("migrate", "9999", "The database is at migration 9999, which this program does not know"),
    ],
)
def test_a_database_of_another_release_is_said_in_a_sentence(
    run: Run, tmp_path: Path, command: str, stands_at: str | None, sentence: str
) -> None:
    path = tmp_path / "other.db"
    if stands_at is not None:
        with contextlib.closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
            connection.execute("INSERT INTO alembic_version VALUES (?)", (stands_at,))
    done = run(command, DATABASE_URL=f"sqlite:///{path}")
    assert (done.returncode, sentence in done.stderr, "Traceback" in done.stderr) == (1, True, False), done.stderr
    assert path.exists() == (stands_at is not None)


@pytest.mark.parametrize("command", ["flags", "migrate"])
def test_a_database_that_is_away_is_said_in_a_sentence(run: Run, command: str) -> None:
    done = run(command, DATABASE_URL="postgresql://nobody:hunter2@127.0.0.1:1/none")
    assert done.returncode == 1
    assert done.stderr.startswith("The database postgresql://nobody:***@127.0.0.1:1/none cannot be reached: ")
    assert done.stderr.endswith("Start it, or correct DATABASE_URL.\n")


def test_the_demo_takes_the_ordinary_road(app: APIFlask, run: Run) -> None:
    done = run("demo")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["5 notifications are on their way to the user 'demo' and to the first admin."]
    assert db.session.get(User, "demo") is not None
    assert db.session.scalar(select(func.count()).select_from(Notification).where(Notification.user_id == "demo")) == 5


def test_a_demo_that_a_type_of_today_refuses_is_told_in_a_sentence(app: APIFlask, run: Run) -> None:
    with transaction() as session:
        changed = sa_update(EventType).where(EventType.key == "comment")
        session.execute(changed.values(schema={"type": "object", "required": ["page"]}))
    done = run("demo")
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert done.stderr.startswith("Not all of the demo is accepted here: ")


def test_the_doctor_prints_lines_and_ends_with_the_count(app: APIFlask, run: Run) -> None:
    done = run("doctor", "redis", "processes")
    assert (done.returncode, done.stderr) == (1, "")
    first, *_, remedy, last, empty, summary = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert first.startswith("✓ ok redis Redis (REDIS_URL) answers in ")
    assert remedy == "→ Start one: python -m notifier scheduler"
    assert last == "✓ ok processes the queues are empty"
    assert (empty, summary) == ("", "2 faults, 1 warning.")
    assert "\033" not in done.stdout


def test_the_doctor_refuses_a_check_that_there_is_not(run: Run) -> None:
    done = run("doctor", "liver")
    assert (done.returncode, done.stderr.partition(".")[0]) == (2, "There is no check liver")


@pytest.mark.parametrize("command", ["migrate", "worker", "web"])
def test_keys_that_do_not_fit_the_database_are_said_in_a_sentence(app: APIFlask, run: Run, command: str) -> None:
    done = run(command, ENCRYPTION_KEYS=KeyRing.generate())
    assert done.returncode == 1
    assert "The keys do not fit the database" in done.stderr
    assert "Traceback" not in done.stderr


def test_providers_are_added_listed_forced_and_removed(app: APIFlask, run: Run) -> None:
    assert (
        run(
            "providers", "add", "spare", "smtp", "SMTP_URL=smtp://user:hunter2@127.0.0.1:2525", "--position", "1"
        ).returncode
        == 0
    )
    assert run("providers", "force", "spare", "open").returncode == 0
    listed = run("providers").stdout
    assert [line.split() for line in listed.splitlines() if "spare" in line] == [
        ["email", "1", "×1", "spare", "forced_open"]
    ]
    assert "hunter2" not in listed
    assert run("providers", "remove", "spare").returncode == 0
    assert "spare" not in [line.split()[3] for line in run("providers").stdout.splitlines() if line.startswith("email")]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("add", "x", "pigeon"), "there is no provider 'pigeon'"),
        (("add", "x", "smtp"), "missing: SMTP_URL"),
        (("add", "x", "smtp", "SMTP_URL=http://mail"), "Nothing was added"),
        (("remove", "x"), "There is no provider x"),
    ],
)
def test_a_provider_that_cannot_be_is_refused_in_a_sentence(
    app: APIFlask, run: Run, words: tuple[str, ...], sentence: str
) -> None:
    done = run("providers", *words)
    assert (done.returncode, sentence in done.stderr, "Traceback" in done.stderr) == (1, True, False)


def test_a_reader_that_has_seen_enough_is_no_fault(environment: dict[str, str], app: APIFlask) -> None:
    """`python -m notifier producers | head -1`"""
    command = [sys.executable, "-m", "notifier", "producers", "list"]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        _, told = process.communicate(timeout=60)
    assert (process.returncode, told) == (0, b"")


def test_a_folder_that_cannot_be_written_is_told_in_a_sentence(app: APIFlask, run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    told = run("templates", "pull", str(tmp_path / "file"))
    assert (told.returncode, told.stderr) == (1, f"{tmp_path}/file cannot be written: File exists.\n")


def test_templates_are_written_compared_and_published_from_files(app: APIFlask, run: Run, tmp_path: Path) -> None:
    templates.publish("kiln", templates.create("kiln", {("*", "en"): Words("It fires", secondary_label="Look")}))
    try:
        pulled = run("templates", "pull", str(tmp_path))
        assert (pulled.returncode, (tmp_path / "order_shipped.toml").exists()) == (0, True), pulled.stderr
        same = run("templates", "diff", str(tmp_path))
        assert (same.returncode, same.stdout, same.stderr) == (0, "", "")
        file = tmp_path / "kiln.toml"
        file.write_text(file.read_text().replace("It fires", "It glows"))
        differing = run("templates", "diff", str(tmp_path))
        assert (differing.returncode, '\n-title = "It fires"\n+title = "It glows"\n' in differing.stdout) == (1, True)
        assert "Nothing was changed. With --publish it is." in run("templates", "push", str(tmp_path)).stdout
        pushed = run("templates", "push", str(tmp_path), "--publish")
        assert (pushed.returncode, f"published          {file}" in pushed.stdout) == (0, True), pushed.stderr
        db.session.rollback()
        assert sources.source("kiln", 2).contents == {("*", "en"): Words("It glows", secondary_label="Look")}
        (tmp_path / "bad.toml").write_text("colour = 1")
        bad = run("templates", "push", str(tmp_path), "--publish")
        assert (bad.returncode, bad.stderr) == (1, f"{tmp_path / 'bad.toml'}: line 1: colour: there is no such field\n")
    finally:
        with transaction() as session:
            session.execute(delete(Template).where(Template.key == "kiln"))


def test_a_folder_without_templates_is_told(run: Run, tmp_path: Path) -> None:
    done = run("templates", "push", str(tmp_path / "nowhere"))
    assert (done.returncode, "There are no templates in" in done.stderr) == (1, True)


def test_several_that_migrate_at_once_wait_for_each_other(environment: dict[str, str], tmp_path: Path) -> None:
    fresh = {"NOTIFIER_HOME": str(tmp_path), "DATABASE_URL": f"sqlite:///{tmp_path / 'new.db'}"}
    several = [
        subprocess.Popen(
            [sys.executable, "-m", "notifier", "migrate"],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], **environment, **fresh},
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    said = [process.communicate(timeout=120)[1] for process in several]
    assert [process.returncode for process in several] == [0, 0, 0], said
