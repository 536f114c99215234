"""A running installation holds to its OpenAPI document, whatever is sent to it; and clients can be made of that.

Apart from the suite (`make fuzz`): it takes some minutes, npm, and a Java that comes as a wheel.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from docs.client_types import TYPES, tool, types_of
from notifier.ground.config import ROOT
from tests.running import KEY, Up, free_port

EXAMPLES = 8  # of each call, made up; those of the document and those at the bounds of each value come on top
CHECKS = (
    *("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance"),
    *("response_schema_conformance", "unsupported_method", "allow_header_conformance"),
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    running = Up(tmp_path_factory.mktemp("contract") / "home", free_port(), NOTIFIER_DEMO="1")
    try:
        yield running.until_ready()
    finally:
        running.stop()


def test_whatever_is_sent_the_answer_is_one_that_is_described(up: Up, tmp_path: Path) -> None:
    """Always the same calls. Every status that is not described is named."""
    up.call("/api/v1/users/alice", {"email": "alice@example.test"}, "PUT")
    token = up.call("/api/v1/users/alice/token", {"expires_in": 3_600})["token"]
    settings = tmp_path / "schemathesis.toml"
    settings.write_text(
        f'[[operations]]\ninclude-path-regex = "^/api/v1/inbox"\nheaders = {{ Authorization = "Bearer {token}" }}\n'
    )
    command = [sys.executable, "-m", "schemathesis.cli", "--no-color", "--config-file", str(settings), "run"]
    command += [f"http://127.0.0.1:{up.port}/api/openapi.json", "--header", f"Authorization: Bearer {KEY}"]
    command += ["--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing", "--seed", "1"]
    command += ["--max-examples", str(EXAMPLES), "--continue-on-failure", "--no-shrink"]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout[-8_000:] + told.stderr[-2_000:]
    assert [line for line in up.text().splitlines() if "api.failed" in line] == []


@pytest.fixture
def tsc(tmp_path: Path) -> Callable[..., str]:
    """`tsc("program.ts")` → what TypeScript's compiler finds wrong in it, in its strictest mode."""

    def _tsc(*files: str) -> str:
        command = [tool("tsc"), "--noEmit", "--strict", "--target", "es2022", "--module", "nodenext", *files]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stdout

    return _tsc


def test_typescript_is_made_of_the_document_without_a_warning(up: Up, tmp_path: Path, tsc: Callable[..., str]) -> None:
    (tmp_path / "openapi.json").write_text(json.dumps(up.call("/api/openapi.json")))
    command = [tool("openapi-typescript"), "openapi.json", "-o", "made.ts"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "warn" not in (done.stdout + done.stderr).lower(), done
    assert tsc("made.ts") == ""
    made = (tmp_path / "made.ts").read_text()
    assert "submit_notification: {" in made
    assert "SubmissionIn: {" in made


# A document with nothing that could be wrong: what the generator says of it, it says of every one
NOTHING = {
    "openapi": "3.1.0",
    "info": {"title": "Nothing", "version": "1"},
    "paths": {
        "/nothing": {
            "get": {
                "operationId": "nothing",
                "responses": {
                    "200": {"description": "Nothing", "content": {"text/plain": {"schema": {"type": "string"}}}}
                },
            }
        }
    },
}
# A program with a client made by openapi-generator: its arguments are the installation's URL and a key. Not of the type
# of the document's examples, whose calls change it
ONE_CALL = """
import sys
from openapi_client import ApiClient, Configuration, NotificationsApi, SubmissionIn

made = {"id": "made", "email": "made@example.test"}
said = {"type": "order_packed", "recipients": [made], "data": {"order_id": "A1"}}
with ApiClient(Configuration(host=sys.argv[1], access_token=sys.argv[2])) as client:
    accepted = NotificationsApi(client).submit_notification(SubmissionIn.from_dict(said))
print(accepted.status, accepted.notifications[0].user)
"""


@pytest.fixture
def openapi_generator(tmp_path: Path) -> Callable[[str, Any], set[str]]:
    """`openapi_generator("python", document)` writes a client to `tmp_path / "python"`; → what it warns of."""

    def _openapi_generator(language: str, document: Any) -> set[str]:
        (tmp_path / "openapi.json").write_text(json.dumps(document))
        program = Path(sys.executable).with_name("openapi-generator-cli")
        command = [program, "generate", "-i", "openapi.json"]
        done = subprocess.run(
            [*command, "-g", language, "-o", language], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-2_000:] + done.stderr[-2_000:]
        said = (done.stdout + done.stderr).splitlines()
        return {line for line in said if line.startswith(("[main] WARN", "[main] ERROR"))}

    return _openapi_generator


def test_openapi_generator_makes_clients_without_a_warning_that_compile_and_call(
    up: Up, tmp_path: Path, openapi_generator: Callable[[str, Any], set[str]], tsc: Callable[..., str]
) -> None:
    always = openapi_generator("python", NOTHING)
    assert all("beta" in line or "schema name: null" in line for line in always)
    document = up.call("/api/openapi.json")
    for language in ("typescript-fetch", "python"):
        assert openapi_generator(language, document) - always == set()
    assert tsc("typescript-fetch/index.ts") == ""
    command = [sys.executable, "-c", ONE_CALL, f"http://127.0.0.1:{up.port}", KEY]
    told = subprocess.run(command, cwd=tmp_path / "python", capture_output=True, text=True, check=False)
    assert (told.stdout, told.stderr) == ("accepted made\n", "")


def test_the_types_of_the_javascript_client_are_those_of_the_document(up: Up) -> None:
    assert types_of(up.call("/api/openapi.json")) == TYPES.read_text(), "run `make client-types`"


def test_the_types_of_the_clients_let_right_programs_pass_and_no_wrong_ones(
    tmp_path: Path, tsc: Callable[..., str]
) -> None:
    """Lines that end with `// wrong` are, and no others."""
    (tmp_path / "node_modules").mkdir()
    for package in ("javascript", "react", "vue"):
        name = json.loads((ROOT / "clients" / package / "package.json").read_text())["name"]
        target = tmp_path / "node_modules" / name
        target.parent.mkdir(exist_ok=True)
        shutil.copytree(ROOT / "clients" / package, target)
    for name in ("@types", "csstype"):
        (tmp_path / "node_modules" / name).symlink_to(tool("tsc").parent.parent / name)
    for name in ("vue", "@vue"):
        (tmp_path / "node_modules" / name).symlink_to(ROOT / "node_modules" / name)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    for file in (Path(__file__).parent / "typescript").glob("*.ts*"):
        shutil.copy(file, tmp_path)
        lines = file.read_text().splitlines()
        wrong = [number for number, line in enumerate(lines, 1) if line.endswith("// wrong")]
        said = tsc("--jsx", "react-jsx", file.name)
        assert sorted({int(line) for line in re.findall(r"\.tsx?\((\d+),", said)}) == wrong, said
        assert wrong
