"""What the documents say is so: settings, commands, the curl, the channel in ten lines, the diagram."""

import contextlib
import http.server
import io
import json
import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask
from werkzeug.serving import make_server

from bench.measures import MEASURES
from bench.shares import YARDSTICK_OF
from bench.yardsticks import YARDSTICKS
from notifier.access import keys
from notifier.channels import ADAPTERS
from notifier.channels.contract import Adapter
from notifier.channels.wire.http import Http
from notifier.core.lifecycle import diagram
from notifier.core.message import Content, Message, Recipient
from notifier.core.retention import DEFAULT_RETENTION, OPTIONAL
from notifier.ground import cells, openid, trace_variables
from notifier.ground.config import ROOT, Settings, setting_names
from notifier.ground.encryption import KeyRing
from notifier.ground.extensions import db
from notifier.models.types import purposes_of
from notifier.operations import installation
from notifier.programs import telling
from notifier.programs.arguments import arguments
from notifier.programs.doctor.examination import CHECKS
from tests.conftest import Api

README = (ROOT / "README.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}(?: [^\n]*)?\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_the_readme_fits_on_a_few_screens() -> None:
    assert len(README.splitlines()) <= 150


def test_the_settings_table_is_what_the_program_reads() -> None:
    table = re.findall(r"^\| `([A-Z_]+)` \| (.+) \|$", (ROOT / "docs/settings.md").read_text(), re.MULTILINE)
    assert table == list(setting_names().items())


def test_the_table_of_the_openid_provider_is_what_the_program_reads() -> None:
    text = (ROOT / "docs" / "accounts.md").read_text()
    assert re.findall(r"^\| `(OIDC_[A-Z_]+)` \| (.+) \|$", text, re.MULTILINE) == list(openid.SETTINGS.items())


def test_the_table_of_cells_is_what_the_program_reads() -> None:
    text = (ROOT / "docs" / "cells.md").read_text()
    assert re.findall(r"^\| `(REGION[A-Z_]*)` \| (.+) \|$", text, re.MULTILINE) == list(cells.SETTINGS.items())


def test_the_tables_of_traces_have_every_span_and_sampler() -> None:
    document = (ROOT / "docs" / "traces.md").read_text()
    source = "".join(file.read_text() for file in sorted((ROOT / "notifier" / "pipeline").rglob("*.py")))
    begun = set(re.findall(r'tracing\.(?:begin|follow|batch)\(\s*"([a-z.]+)"', source))
    assert set(re.findall(r"^\| `([a-z.]+)` \|", document, re.MULTILINE)) == begun
    [samplers] = re.findall(r"^\| `OTEL_TRACES_SAMPLER` \| (.+) \(`\w+`\) \|$", document, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", samplers)) == set(trace_variables.SAMPLERS)


PROVIDERS = (ROOT / "docs" / "providers.md").read_text()


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda adapter: adapter.provider)
def test_the_table_of_the_providers_says_what_each_declares(adapter: type[Adapter]) -> None:
    rows = [line.strip("| ").split(" | ") for line in PROVIDERS.splitlines() if line.startswith("| `")]
    [row] = [row for row in rows if row[:2] == [f"`{adapter.provider}`", adapter.channel.name]]
    settings, hook, tells, pace = row[2:]
    assert re.findall(r"`([A-Z_]+)`", settings) == [setting.name for setting in adapter.settings]
    assert tells == (", ".join(adapter.tells) or "–")
    assert pace == ("–" if adapter.per_second is None else f"{adapter.per_second:,g}/s")
    headings = {
        re.sub(r"[^\w-]", "", line.lower().replace(" ", "-")) for line in re.findall("^## (.+)", PROVIDERS, re.M)
    }
    assert set(re.findall(r"\(#([\w-]+)\)", hook)) <= headings
    assert (hook != "–") == bool(adapter.tells)


def test_the_table_of_the_providers_has_no_other() -> None:
    assert len(re.findall(r"^\| `", PROVIDERS, re.M)) == len(ADAPTERS)


def test_the_two_commands_are_targets_and_ci_runs_the_tests_by_theirs() -> None:
    makefile, ci = (ROOT / "Makefile").read_text(), (ROOT / ".ci" / "run").read_text()
    shown = re.findall(r"^make (\w+)", README, re.MULTILINE)
    targets = re.findall(r"^([a-z-]+):", makefile, re.MULTILINE)
    assert shown == ["run", "test"]
    assert set(shown) <= set(targets)
    assert "make test" in ci
    # without arguments, its parts are
    assert re.findall(r"set -- (.+)", ci) == ["test faults fuzz smoke bench lint"]
    assert re.findall(r"\$\(MAKE\) --no-print-directory --keep-going (.+)", makefile) == ["suite browser"]


DOCUMENTS = ("README.md", "CONTRIBUTING.md", *(f"docs/{file.name}" for file in sorted((ROOT / "docs").glob("*.md"))))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_no_line_of_prose_is_longer_than_120_columns(document: str) -> None:
    """A table has a row a line, and the name of a test may be long."""
    prose = re.sub(r"^```.*?^```", "", (ROOT / document).read_text(), flags=re.MULTILINE | re.DOTALL)
    assert [line for line in prose.splitlines() if len(line) > 120 and not line.startswith(("|", "`"))] == []


@pytest.mark.parametrize("document", [*DOCUMENTS, "Procfile"])
def test_every_command_shown_is_one(document: str) -> None:
    for line in re.findall(r"python -m notifier ([^`&\n]+)", (ROOT / document).read_text()):
        words = [word.replace("EMAIL", "a@example.test") for word in shlex.split(line)]
        arguments().parse_args(words)


def test_the_table_of_doctor_has_every_check_in_its_order() -> None:
    document = (ROOT / "docs" / "operations.md").read_text().partition("\n## Doctor")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `([\w-]+)` \|", document, re.MULTILINE) == [check.name for check in CHECKS]


def test_the_line_that_makes_a_key_makes_one() -> None:
    (line,) = re.findall(r'python -c "([^"]+)"', (ROOT / "docs" / "keys.md").read_text())
    made = io.StringIO()
    with contextlib.redirect_stdout(made):
        exec(line)
    assert KeyRing.parse(made.getvalue().strip())


def test_every_measurement_is_explained() -> None:
    document = (ROOT / "docs" / "capacity.md").read_text().partition("## Measurements")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", document, re.MULTILINE)
    assert re.findall(r"`(\w+)`", " ".join(rows)) == list(MEASURES)


def test_every_yardstick_is_explained_with_what_it_judges() -> None:
    document = (ROOT / "docs" / "capacity.md").read_text().partition("## Yardsticks")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|.*\| (`.+`) \|$", document, re.MULTILINE)
    explained = {name: set(re.findall(r"`(\w+)`", judged)) for names, judged in rows for name in names.split("`")[1::2]}
    assert list(explained) == list(YARDSTICKS)
    assert {measure for judged in explained.values() for measure in judged} == set(YARDSTICK_OF)
    assert all(measure in explained[yardstick] for measure, yardstick in YARDSTICK_OF.items())


def test_the_procfile_names_every_kind_of_process() -> None:
    assert re.findall(r"^(\w+):", (ROOT / "Procfile").read_text(), re.MULTILINE) == [
        "release",
        "web",
        "worker",
        "scheduler",
        "sink",
        "consume",
    ]


def test_the_curl_of_the_readme_does_what_is_said(api: Api) -> None:
    installation.ensure_admin("admin@localhost.test", "a long password")  # as the first start does
    [command] = [block for block in blocks(README, "sh") if block.startswith("curl")]
    for second in (1, 2):  # who pastes it again wants to see something again
        answer = api.post(*called_with(command, second))
        assert answer.status_code == 202
        [notification] = answer.json["notifications"]
        assert {
            delivery["channel"]: delivery["status"]
            for delivery in notification["deliveries"]
            if delivery["status"] != "skipped"
        } == {
            "inapp": "delivered",
            "email": "queued",
        }


def test_the_curl_of_the_welcome_says_something_new_each_time(api: Api, settings: Settings) -> None:
    installation.ensure_admin("admin@localhost.test", "a long password")
    text = telling.welcome(settings, {"producer_key": "$KEY", "admin_email": None, "admin_password": None})
    [command] = re.findall(r"curl .*?}}'", text, re.DOTALL)

    answers = [api.post(*called_with(command, second)) for second in (1, 2)]

    told = [{delivery["reason"] for delivery in answer.json["notifications"][0]["deliveries"]} for answer in answers]
    assert (told[0] == told[1], "duplicate" in told[1]) == (True, False)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True, scope="session")
def test_the_commands_of_oauth_get_a_token_use_it_and_end_it(app: APIFlask, producer_key: str) -> None:
    installation.ensure_admin("admin@localhost.test", "a long password")
    [commands] = blocks((ROOT / "docs" / "oauth.md").read_text(), "sh")
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        here = commands.replace("127.0.0.1:5000", f"127.0.0.1:{server.port}")
        shell = subprocess.run(
            ["sh", "-euc", _STAND_INS + here + 'echo "$TOKEN"'],
            env={**os.environ, "KEY": producer_key, "PYTHON": sys.executable},
            capture_output=True,
            text=True,
            check=True,
        )
    finally:
        server.shutdown()
        thread.join()
    accepted, revoked, token = shell.stdout.splitlines()
    assert "delivered" in {delivery["status"] for delivery in json.loads(accepted)["notifications"][0]["deliveries"]}
    assert json.loads(revoked) == {}
    assert [keys.find_key(shown) is None for shown in (token, producer_key)] == [True, False]


# An answer a line; of jq, what the commands use
_STAND_INS = """
curl() { command curl -w '\\n' "$@"; }
jq() { test "$*" = "-r .access_token"; "$PYTHON" -c 'import json; print(json.load(open(0))["access_token"])'; }
"""


def called_with(command: str, second: int) -> tuple[str, Any]:
    """What a shell makes of the command at that second: the path and the body."""
    stand_ins = "curl() { printf '%s\\0' \"$@\"; }; date() { echo SECOND; }; KEY=the-key\n"
    shell = subprocess.run(
        ["sh", "-c", stand_ins.replace("SECOND", str(second)) + command], capture_output=True, text=True, check=True
    )
    words = shell.stdout.split("\0")
    assert "Authorization: Bearer the-key" in words
    url = next(word for word in words if word.startswith("http://"))
    return "/" + url.split("/", 3)[3], json.loads(words[words.index("-d") + 1])


@contextlib.contextmanager
def sink() -> Iterator[tuple[str, list[bytes]]]:
    """A server that keeps what is posted to it."""
    posted: list[bytes] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/topic", posted
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_channel_of_the_readme_sends() -> None:
    [source] = blocks(README, "python")
    found: dict[str, Any] = {}
    exec(source, found)
    [adapter] = [
        thing
        for thing in found.values()
        if isinstance(thing, type) and issubclass(thing, Adapter) and thing is not Adapter
    ]
    message = Message(
        "dlv_1",
        "ntf_1",
        "alice",
        1,
        "order_shipped",
        "transactional",
        "high",
        datetime(2026, 1, 1, tzinfo=UTC),
        Content("Shipped", "On its way"),
    )
    with sink() as (url, posted):
        receipt = adapter({}, Http([ip_network("127.0.0.0/8")])).send(
            message, Recipient(adapter.channel.address.parse(url))
        )
    assert (receipt.status, posted) == ("sent", [b"On its way"])


def test_the_architecture_shows_the_lifecycle_as_it_is() -> None:
    assert diagram() in [
        block.rstrip("\n") for block in blocks((ROOT / "docs" / "architecture.md").read_text(), "mermaid")
    ]


FOLDERS = {file.name for place in (ROOT, ROOT / "notifier") for file in place.iterdir() if file.is_dir()}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_and_file_named_is_there(document: str) -> None:
    place, text = (ROOT / document).parent, (ROOT / document).read_text()
    links = [link for link in re.findall(r"\]\(([^)\s]+)", text) if "://" not in link]
    missing = [link for link in links if not _leads_somewhere(link, place, text)]
    for folder, rest in re.findall(r"`([\w.]+)/([\w/.-]+)`", text):
        file = f"{folder}/{rest}"
        if folder in FOLDERS and not (ROOT / file).exists() and not (ROOT / "notifier" / file).exists():
            missing.append(file)
    assert missing == []


def _leads_somewhere(link: str, place: Path, text: str) -> bool:
    path, _, anchor = link.partition("#")
    if path and not (place / path).exists():
        return False
    if not anchor:
        return True
    headings = re.findall(r"^#+ (.+)$", (place / path).read_text() if path else text, re.MULTILINE)
    return anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", ["docs/promises.md", "docs/security.md"])
def test_every_promise_and_every_threat_names_tests_that_exist(document: str) -> None:
    rows = [line for line in (ROOT / document).read_text().splitlines() if line.startswith("| ")]
    rows = [row for row in rows if not row.startswith(("| promise |", "| threat |"))]
    assert rows
    missing = []
    for row in rows:
        named = re.findall(r"`([\w/]+\.py)::(\w+)`", row.rsplit(" | ", 1)[-1])
        missing += [row] if not named else []
        missing += [f"{file}::{test}" for file, test in named if not is_test(file, test)]
    assert missing == []


def is_test(file: str, name: str) -> bool:
    """`file`: below tests/."""
    path = ROOT / "tests" / file
    return path.exists() and re.search(rf"^(async )?def {name}\(", path.read_text(), re.MULTILINE) is not None


DATA = (ROOT / "docs" / "data.md").read_text()
DATA_ROWS = {
    row[0].strip("`"): row[1:]
    for row in (line.strip("| ").split(" | ") for line in DATA.splitlines() if line.startswith("| `"))
}


def test_the_data_map_has_every_table_once() -> None:
    assert sorted(re.findall(r"^\| `(\w+)` \|", DATA, re.MULTILINE)) == sorted(db.metadata.tables)


@pytest.mark.parametrize("table", db.metadata.sorted_tables, ids=lambda table: table.name)
def test_the_data_map_classes_every_column(table: sa.Table) -> None:
    _, kept, personal, encrypted, digests, others, erased, exported = DATA_ROWS[table.name]
    classes = [re.findall(r"`(\w+)`", cell) for cell in (personal, encrypted, digests, others)]
    assert sorted(column for names in classes for column in names) == sorted(column.name for column in table.columns)
    assert classes[1] == ([*purposes_of(table)] or (["sealed"] if table.name == "installation_secret" else []))
    binary = [column.name for column in table.columns if type(column.type) is sa.LargeBinary]
    assert set(binary) - {"sealed", "data", "public_key"} <= set(classes[2])
    assert set(re.findall(r"`RETENTION` `(\w+)`", kept)) <= {*DEFAULT_RETENTION, *OPTIONAL}
    names_people = any(column in ("user_id", "account_id") for names in classes for column in names)
    assert not (names_people and erased.startswith(("names nobody", "–")))
    assert exported == "–" or names_people or table.name in _EXPORTED_OTHERWISE


# By their person's id itself, by an address, or by what belongs to the person
_EXPORTED_OTHERWISE = {"user", "suppression", "consent_text", "delivery", "attempt", "receipt", "audit_entry"}


def test_the_data_map_names_fields_of_the_export(api: Api, cast: Any) -> None:
    document = api.get("/api/v1/users/alice/export").json
    named = {row[-1].strip("`").partition(".")[0] for row in DATA_ROWS.values()} - {"–"}
    assert named | {"format", "exported_at"} == document.keys()


def test_the_changelog_tells_of_what_comes_next() -> None:
    _, _, newest = (ROOT / "CHANGELOG.md").read_text().partition("\n## ")
    assert len(re.findall(r"^- ", newest.partition("\n## ")[0], re.MULTILINE)) >= 1
