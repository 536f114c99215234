"""The commands `templates pull`, `diff` and `push`: templates and event types as files of a folder.

They work on the database as the other commands do: without a key that could change everybody's words, and so that a
file is taken over as a whole or not at all, which several requests to the API could not promise.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from notifier.ground.config import Settings
from notifier.operations import template_files
from notifier.operations.template_files import Outcome
from notifier.programs.cli import inside, refuse


def pull(settings: Settings, options: argparse.Namespace) -> int:
    try:
        with inside(settings):
            found = template_files.pull(Path(options.folder))
    except OSError as error:
        return refuse(f"{error.filename or options.folder} cannot be written: {error.strerror}.")
    _tell(found, {"new": "written", "changed": "written", "same": "the same"})
    return 0


def diff(settings: Settings, options: argparse.Namespace) -> int:
    folder = _folder(options)
    if folder is None:
        return 1
    with inside(settings):
        found = template_files.diff(folder)
    for outcome in found:
        if outcome.state in ("new", "changed"):
            print("\n".join(outcome.lines))
    return int(_complain(found) or any(outcome.state != "same" for outcome in found))


def push(settings: Settings, options: argparse.Namespace) -> int:
    folder = _folder(options)
    if folder is None:
        return 1
    with inside(settings):
        found = template_files.push(folder, publish=options.publish)
    done = "published" if options.publish else "would be published"
    _tell(found, {"new": done, "changed": done, "same": "the same", "bad": "bad"})
    if not options.publish and any(outcome.state in ("new", "changed") for outcome in found):
        print("Nothing was changed. With --publish it is.")
    return int(_complain(found))


def _folder(options: argparse.Namespace) -> Path | None:
    folder = Path(options.folder)
    if folder.is_dir() and any(folder.glob(f"*{template_files.SUFFIX}")):
        return folder
    print(f"There are no templates in {folder}. Write them with: templates pull {folder}", file=sys.stderr)
    return None


def _tell(found: Sequence[Outcome], words: dict[str, str]) -> None:
    for outcome in found:
        if outcome.state != "same":
            print(f"{words[outcome.state]:<18} {outcome.path}")
    counts = Counter(words[outcome.state] for outcome in found)
    print(", ".join(f"{count} {word}" for word, count in counts.items()) or "There is nothing yet.")


def _complain(found: Sequence[Outcome]) -> bool:
    bad = [outcome for outcome in found if outcome.state == "bad"]
    for outcome in bad:
        for line in outcome.lines:
            print(f"{outcome.path}: {line}", file=sys.stderr)
    return bool(bad)
