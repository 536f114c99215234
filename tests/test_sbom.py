"""sbom.cdx.json lists what is installed."""

import json
import re

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from docs import sbom
from notifier.ground.config import ROOT


def test_it_is_valid_and_made_of_the_locks_as_they_are() -> None:
    stored = sbom.MADE.read_text()
    assert stored == sbom.text(), "make lock"
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(stored) is None
    listed = {(part["name"], part["version"]) for part in json.loads(stored)["components"]}
    pins = re.findall(r"^([\w.-]+).*==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    browsers = json.loads((ROOT / "package.json").read_text())["dependencies"]
    assert len(pins) > 80
    assert {*pins, *((name.rpartition("/")[2], version) for name, version in browsers.items())} <= listed


def test_it_names_no_registry() -> None:
    assert re.findall(r"\w+://([^/\"]+)", sbom.MADE.read_text()) == ["cyclonedx.org"]
