"""The code blocks of the documentation. The words after a block's language say what it is:

(none)            a program: it is run, in the order of the page (`sh`, `python`, `js`)
file=NAME         a file that the page's programs use; `serves=PORT`: a server that is running from here on
answer            what the block before prints; `answer=NAME`: what that server prints. `…` is anything
by=FILE::TEST     run by that test
not run: WHY      run by nobody

The programs of a page share a folder, and its `sh` blocks their variables.
"""

import re
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.running import ROOT, eventually, free_port, installed

PICTURES = ("mermaid",)
PAGES = ["README.md", "CONTRIBUTING.md", *(f"docs/{file.name}" for file in sorted((ROOT / "docs").glob("*.md")))]
_FENCE = re.compile(r"^( *)```(\w*)(?: ([^\n]+))?\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_ASKS = re.compile(
    r"file=(?P<file>[\w./-]+)(?: serves=(?P<port>\d+))?|(?P<answer>answer)(?:=(?P<of>[\w.-]+))?"
    r"|by=(?P<by>[\w/]+\.py::\w+)|not run: (?P<why>\w+ .+)"
)
_PORT = re.compile(r"(127\.0\.0\.1:|localhost:|port=|listen\()(\d{4,5})")


@dataclass(frozen=True, slots=True)
class Block:
    """`asks`: what its words say, by the names in `_ASKS`; empty for a program; None for words that are none."""

    page: str
    line: int
    language: str
    asks: Mapping[str, str] | None
    text: str

    @property
    def is_program(self) -> bool:
        return self.asks == {} and self.language in ("sh", "python", "js")


def blocks_of(page: str) -> list[Block]:
    text = (ROOT / page).read_text()
    found = []
    for fence in _FENCE.finditer(text):
        _, language, words, content = fence.groups()
        asks = _ASKS.fullmatch(words) if words else None
        said = {name: value for name, value in asks.groupdict().items() if value} if asks else None if words else {}
        if language not in PICTURES:
            found.append(Block(page, text.count("\n", 0, fence.start()) + 1, language, said, content))
    return found


@dataclass
class Reader:
    """Somebody who does what a page says, in a folder of their own. `port`: of Notifier, which the pages have at 5000.

    `environment` is what they set before they began.
    """

    folder: Path
    port: int
    environment: Mapping[str, str]
    ports: dict[str, str] = field(default_factory=dict)
    servers: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    printed: str = ""

    def read(self, blocks: list[Block]) -> None:
        self.ports["5000"] = str(self.port)
        (self.folder / ".env").touch()
        try:
            for block in blocks:
                self._do(block)
        finally:
            for server in self.servers.values():
                server.kill()
                server.wait()

    def _do(self, block: Block) -> None:
        asks, text = block.asks, self._here(block.text)
        assert asks is not None
        where = f"{block.page}:{block.line}"
        if "file" in asks:
            (self.folder / asks["file"]).write_text(text)
            if "port" in asks:
                self._serve(asks["file"], int(self.ports[asks["port"]]))
        elif "answer" in asks:
            name = asks.get("of")
            if name is not None:
                try:
                    eventually(lambda: self._is(block.text, self._said_by(name)), 60)
                except pytest.fail.Exception:
                    raise AssertionError(f"{where} is not what {name} printed:\n{self._said_by(name)}") from None
            else:
                assert self._is(block.text, self.printed), f"{where} is not what was printed:\n{self.printed}"
        elif block.is_program:
            done = self._run(block.language, text)
            assert done.returncode == 0, f"{where} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
            self.printed = done.stdout

    def _run(self, language: str, text: str) -> "subprocess.CompletedProcess[str]":
        if language == "sh":
            script = f". ./.env\nset -a\n{text}\nset +a\nexport -p >.env\n"
        else:
            name = {"python": "snippet.py", "js": "snippet.mjs"}[language]
            (self.folder / name).write_text(text)
            script = f". ./.env\nexec {_program(name)} {name}"
        return subprocess.run(
            ["sh", "-euc", script],
            cwd=self.folder,
            env=dict(self.environment),
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def _serve(self, name: str, port: int) -> None:
        log = self.folder / f"{name}.log"
        with log.open("wb") as out:
            self.servers[name] = subprocess.Popen(
                ["sh", "-euc", f". ./.env\nexec {_program(name)} {name}"],
                cwd=self.folder,
                env=dict(self.environment) | {"PYTHONUNBUFFERED": "1"},
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        eventually(lambda: self._listens(name, port))

    def _listens(self, name: str, port: int) -> bool:
        self._said_by(name)
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    def _said_by(self, name: str) -> str:
        said = (self.folder / f"{name}.log").read_text()
        assert self.servers[name].poll() is None, f"{name} has ended: {said}"
        return said

    def _here(self, text: str) -> str:
        """With the ports that are free here."""
        return _PORT.sub(lambda found: found[1] + self.ports.setdefault(found[2], str(free_port())), text)

    @staticmethod
    def _is(expected: str, said: str) -> bool:
        pattern = ".*?".join(re.escape(part) for part in expected.strip().split("…"))
        return re.fullmatch(pattern, said.strip(), re.DOTALL) is not None


def _program(name: str) -> str:
    return sys.executable if name.endswith(".py") else installed("node")
