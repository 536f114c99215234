"""The client for Python as it is in its wheel."""

import importlib
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from notifier.ground.config import ROOT
from notifier.ground.version import VERSION


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the wheel of clients/python has been unpacked, as pip would."""
    place = tmp_path_factory.mktemp("client")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet", "-w", place]
    subprocess.run([*command, ROOT / "clients" / "python"], check=True, stderr=subprocess.DEVNULL)
    [built] = place.glob("*.whl")
    assert built.name == f"notifier_client-{VERSION}-py3-none-any.whl"
    zipfile.ZipFile(built).extractall(place / "site")
    return place / "site"


@pytest.fixture(scope="session")
def client_package(wheel: Path) -> Iterator[Any]:
    """`notifier_client`, as it is in the wheel."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(wheel)
        yield importlib.import_module("notifier_client")
