"""The last release's code, taken out of the repository's history: `last_release.txt` describes its tables."""

import subprocess
import tarfile
from pathlib import Path

import pytest

from notifier.ground.config import ROOT

# A tag, or a commit while there is none: the one whose tables stand in `last_release.txt`
RELEASE = "7d5dc08cb30526769a907c295efec2a749146006"


def unpacked(place: Path) -> Path:
    """→ the folder with its code, as `git` would check it out. Skips the test where the history is not at hand."""
    archive = place / "release.tar"
    try:
        subprocess.run(
            ["git", "-C", ROOT, "archive", "--output", archive, RELEASE], check=True, capture_output=True, text=True
        )
    except FileNotFoundError:
        pytest.skip("there is no git here")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"the last release, {RELEASE}, is not in this copy's history: {error.stderr.strip()}")
    with tarfile.open(archive) as packed:
        packed.extractall(place / "release", filter="data")
    return place / "release"
