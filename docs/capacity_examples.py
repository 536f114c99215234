"""Writes what the calculator prints into docs/capacity.md, below each of its commands. Part of
`make bench ARGS=--capacity`.
"""

import re
import shlex
from pathlib import Path

from notifier.programs import capacity
from notifier.programs.arguments import read

_DOCUMENT = Path(__file__).with_name("capacity.md")
_SHOWN = re.compile(r"(```text.*\n\$ )(python -m notifier capacity .+)\n(?:.*\n)*?(?=```)")


def main() -> None:
    _DOCUMENT.write_text(answered(_DOCUMENT.read_text()))


def answered(document: str) -> str:
    """With what the commands in it print today."""

    def answer(shown: re.Match[str]) -> str:
        options = read(shlex.split(shown[2])[3:])
        return "\n".join([shown[1] + shown[2], *capacity.told(options), ""])

    return _SHOWN.sub(answer, document)


if __name__ == "__main__":
    main()
