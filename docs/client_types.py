"""Writes clients/javascript/api.d.ts, the types of what calls take and answer, made of the OpenAPI document:
`make client-types`, after the API has changed. Needs Node.js and npm.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from notifier.api import openapi
from notifier.app import create_app
from notifier.ground.config import ROOT, Settings

PACKAGE = ROOT / "clients" / "javascript"
TYPES = PACKAGE / "api.d.ts"
_TOOLS = ROOT / ".venv" / "client-types"
_HEAD = "// Made by `make client-types`. Answers may have further fields.\n"


def document() -> dict[str, Any]:
    """The OpenAPI document of this version, from an app that nobody serves."""
    with tempfile.TemporaryDirectory() as home:
        app = create_app(Settings.from_env({"NOTIFIER_HOME": home}), opens_vault=False)
        with app.test_request_context():
            return openapi.whole_document()


def types_of(document: dict[str, Any]) -> str:
    """Those of its schemas, as openapi-typescript writes them."""
    schemas = {**document, "paths": {}, "components": {"schemas": _closed(document["components"]["schemas"])}}
    with tempfile.TemporaryDirectory() as place:
        source, made = Path(place, "openapi.json"), Path(place, "api.d.ts")
        source.write_text(json.dumps(schemas))
        # A default is what the server takes for a field that is left out, so nobody has to send it
        command = [tool("openapi-typescript"), source, "-o", made, "--default-non-nullable=false"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        assert "warn" not in (done.stdout + done.stderr).lower(), done.stdout + done.stderr
        return _HEAD + made.read_text()


def _closed(schema: Any) -> Any:
    """Further fields are no type error in TypeScript anyway, and misspelt ones shall be one."""
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    is_open = "properties" in schema and schema.get("additionalProperties") is True
    return {name: _closed(one) for name, one in schema.items() if not (is_open and name == "additionalProperties")}


def tool(name: str) -> Path:
    """A program that clients/javascript needs for its development; installed where that was not done yet."""
    program, lock = _TOOLS / "node_modules" / ".bin" / name, PACKAGE / "package-lock.json"
    if not program.exists() or (_TOOLS / lock.name).read_text() != lock.read_text():
        _TOOLS.mkdir(exist_ok=True)
        for file in (PACKAGE / "package.json", ROOT / ".npmrc", lock):
            shutil.copy(file, _TOOLS)
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        subprocess.run(["npm", "ci", "--silent"], cwd=_TOOLS, check=True, env={**os.environ, "PATH": path})
    return program


if __name__ == "__main__":
    TYPES.write_text(types_of(document()))
