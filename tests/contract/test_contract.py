"""A running installation holds to its OpenAPI document, whatever is sent to it; and TypeScript can be made of that.

Apart from the suite (`make fuzz`): it takes most of a minute, and npm.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from notifier.ground.config import ROOT
from tests.running import KEY, Up, free_port

EXAMPLES = 8  # of each call, made up; those of the document and those at the bounds of each value come on top
CHECKS = (
    *("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance"),
    *("response_schema_conformance", "unsupported_method", "allow_header_conformance"),
)

pytestmark = pytest.mark.processes


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


def test_typescript_is_made_of_the_document_without_a_warning(up: Up, tmp_path: Path) -> None:
    for name in ("package.json", "package-lock.json"):
        shutil.copy(Path(__file__).parent / "typescript" / name, tmp_path)
    shutil.copy(ROOT / ".npmrc", tmp_path)
    (tmp_path / "openapi.json").write_text(json.dumps(up.call("/api/openapi.json")))
    environment = {**os.environ, "PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"}

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    run("npm", "ci", "--silent")
    said = run("node_modules/.bin/openapi-typescript", "openapi.json", "-o", "made.ts")
    assert "warn" not in said.lower(), said
    run("node_modules/.bin/tsc", "--noEmit", "--strict", "made.ts")
    made = (tmp_path / "made.ts").read_text()
    assert "submit_notification: {" in made
    assert "SubmissionIn: {" in made
