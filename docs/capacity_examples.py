"""Writes what the calculator prints into docs/capacity.md, below each of its commands. Part of
`make bench ARGS=--capacity`.
"""

import re
import shlex
from pathlib import Path

from notifier.programs import capacity
from notifier.programs.arguments import read

_DOCUMENT = Path(__file__).with_name("capacity.md")
_SHOWN = re.compile(r"(```text.*\n\$ )(.+)\n(?:.*\n)*?(?=```)")


def main() -> None:
    def answered(shown: re.Match[str]) -> str:
        options = read(shlex.split(shown[2])[3:])
        return "\n".join([shown[1] + shown[2], *capacity.told(options), ""])

    _DOCUMENT.write_text(_SHOWN.sub(answered, _DOCUMENT.read_text()))


if __name__ == "__main__":
    main()
