"""Prints the findings of `doctor`: a line for each as it comes, or JSON at the end."""

import json
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Iterable, Iterator

from notifier.channels import serving
from notifier.ground.config import BadSettings, Settings
from notifier.programs.doctor.examination import CHECKS, examine
from notifier.programs.doctor.findings import Finding, Level, counted, fault

Told = Iterable[tuple[str, Finding]]

_SYMBOLS = {Level.OK: "✓", Level.WARNING: "!", Level.FAULT: "✗", Level.SKIPPED: "·"}
_COLOURS = {Level.OK: "32", Level.WARNING: "33", Level.FAULT: "31", Level.SKIPPED: "2"}
_NAME_WIDTH = max(len(check.name) for check in CHECKS)
_LEVEL_WIDTH = max(map(len, Level))


def run(options: Namespace) -> int:
    """→ 1 when there is a fault. Reads the settings itself: bad settings are a finding too, and missing secrets are not
    made.
    """
    unknown = sorted(set(options.checks) - {check.name for check in CHECKS})
    if unknown:
        print(
            f"There is no check {', '.join(unknown)}. The checks are: {' '.join(check.name for check in CHECKS)}",
            file=sys.stderr,
        )
        return 2
    try:
        told: Told = examine(Settings.from_env(makes_secrets=False), options.checks)
    except BadSettings as error:
        told = [
            ("settings", fault(sentence, "Correct it in the environment."))
            for sentence in (*error.faults, *serving.faults())
        ]
    levels = Counter[Level]()
    found = []
    for name, finding in told:
        levels[finding.level] += 1
        found.append((name, finding))
        if not options.json:
            print("\n".join(lines(name, finding, is_coloured=sys.stdout.isatty())), flush=True)
    print(_json(found, levels) if options.json else f"\n{_summary(levels)}")
    return 1 if levels[Level.FAULT] else 0


def lines(name: str, finding: Finding, *, is_coloured: bool = False) -> Iterator[str]:
    mark = f"{_SYMBOLS[finding.level]} {finding.level:<{_LEVEL_WIDTH}}"
    mark = f"\033[{_COLOURS[finding.level]}m{mark}\033[0m" if is_coloured else mark
    yield f"{mark}  {name:<{_NAME_WIDTH}}  {finding.what}"
    if finding.remedy:
        yield f"{'':{2 + _LEVEL_WIDTH}}  {'':{_NAME_WIDTH}}  → {finding.remedy}"


def _summary(levels: Counter[Level]) -> str:
    faults, warnings = levels[Level.FAULT], levels[Level.WARNING]
    if not faults and not warnings:
        return "Nothing is wrong."
    return f"{counted(faults, 'fault')}, {counted(warnings, 'warning')}."


def _json(found: Told, levels: Counter[Level]) -> str:
    findings = [
        {"check": name, "level": finding.level, "what": finding.what, "remedy": finding.remedy or None}
        for name, finding in found
    ]
    return json.dumps(
        {"faults": levels[Level.FAULT], "warnings": levels[Level.WARNING], "findings": findings},
        indent=2,
        ensure_ascii=False,
    )
