"""`python -m notifier consume` on the database of the tests."""

import os
import signal
from collections.abc import Mapping
from pathlib import Path

from tests.commands import Program


class Consume:
    def __init__(self, environment: Mapping[str, str], log: Path, url: str, *, module: str = "notifier") -> None:
        self.log = log
        words = [*(["consume"] if module == "notifier" else []), url]
        self.process = Program(words, {"PATH": os.environ["PATH"], **environment}, log, module=module)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def text(self) -> str:
        return self.log.read_text()

    def count(self, event: str) -> int:
        assert self.process.returncode is None, self.text()
        return self.text().count(event)
