"""`python -m notifier consume` on the database of the tests."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from notifier.ground.config import ROOT


class Consume:
    def __init__(self, environment: Mapping[str, str], log: Path, url: str, *, module: str = "notifier") -> None:
        self.log = log
        words = [sys.executable, "-m", module, *(["consume"] if module == "notifier" else []), url]
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                words, cwd=ROOT, env={"PATH": os.environ["PATH"], **environment}, stdout=out, stderr=out
            )

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def text(self) -> str:
        return self.log.read_text()

    def count(self, event: str) -> int:
        assert self.process.poll() is None, self.text()
        return self.text().count(event)
