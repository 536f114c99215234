"""`pip install notifier`: a wheel has everything that a checkout has."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from notifier.ground.config import ROOT
from notifier.ground.version import VERSION

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the wheel has been unpacked, as pip would."""
    place = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet", "-w", place, ROOT]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    (wheel,) = place.glob("*.whl")
    assert wheel.name == f"notifier-{VERSION}-py3-none-any.whl"
    zipfile.ZipFile(wheel).extractall(place / "site")
    return place / "site"


def test_all_files_are_in_it(installed: Path) -> None:
    """Of git's, and of what is built."""
    for folder, inside in {
        "notifier": "notifier",
        "migrations": "notifier/files/migrations",
        "templates": "notifier/files/templates",
        "static/built": "notifier/files/static/built",
    }.items():
        ours = {path.relative_to(ROOT / folder) for path in (ROOT / folder).rglob("*") if path.is_file()}
        there = {path.relative_to(installed / inside) for path in (installed / inside).rglob("*") if path.is_file()}
        assert ours, folder
        assert {path for path in ours if path.suffix != ".pyc"} <= there, folder


def test_its_command_migrates_and_looks_after_itself(installed: Path, tmp_path: Path) -> None:
    """In a folder that is not the checkout: `doctor` looks at every part."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(installed), "NOTIFIER_HOME": str(tmp_path / "home")}

    def notifier(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "notifier", *words], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        return done.stdout + done.stderr

    assert notifier("--version") == f"Notifier {VERSION}\n"
    notifier("migrate", "--first-start")
    said = notifier("doctor", "database", "secrets")
    assert "migration" in said
    assert "this check broke" not in said
