"""A plugin for CI: up to three tests that fail are tried once more, by themselves, in a process of their own.

Of so many on real servers, one now and then depends on what came before it or on what else the machine does. What
passes then is named as unsteady at the end, to be mended, and fails nothing; what fails again does, and so do more.
"""

import os
import subprocess
import sys

import pytest

MOST = 3


@pytest.hookimpl(trylast=True)  # by then the servers of this run have ended
def pytest_sessionfinish(session: pytest.Session, exitstatus: int | pytest.ExitCode) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if exitstatus != pytest.ExitCode.TESTS_FAILED or reporter is None or hasattr(session.config, "workerinput"):
        return
    failed = sorted({report.nodeid for kind in ("failed", "error") for report in reporter.stats.get(kind, ())})
    if not 1 <= len(failed) <= MOST:
        return
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    reporter.write_line(f"\nOnce more: {', '.join(failed)}")
    again = [sys.executable, "-m", "pytest", *failed]
    if subprocess.run(again, env=environment, cwd=session.config.rootpath).returncode:
        return
    session.exitstatus = pytest.ExitCode.OK
    for name in failed:
        reporter.write_line(f"unsteady: {name}")
