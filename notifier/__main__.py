"""`python -m notifier CMD`. Reads the settings, then hands over to the program of that name.

A program is named by string and imported only when it is the one asked for: the supervisor stays
small, and `web` is executed anew, since wsgi.py must patch before anything else is imported.
"""

import argparse
import gc
import importlib
import os
import signal
import sys
from collections.abc import Callable, Sequence

from notifier.ground import logs
from notifier.ground.config import WSGI, BadSettings, NotReady, Settings
from notifier.ground.encryption import KeysDoNotFit
from notifier.programs.arguments import not_text, read


def main(argv: Sequence[str] | None = None) -> int:
    options = read(argv)
    if options.command != "send" and not_text(options):  # which says so itself
        print("The words of a command must be UTF-8.", file=sys.stderr)
        return 2
    os.umask(0o077)  # what is written belongs to the installation's own account
    return explained(lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    if options.command == "doctor":  # which tells of bad settings itself
        return int(importlib.import_module("notifier.programs.doctor.report").run(options))
    if options.command == "send":  # which needs no settings where it calls another installation
        return int(importlib.import_module("notifier.programs.send").run(options))
    if options.command == "capacity":  # which needs none
        return int(importlib.import_module("notifier.programs.capacity").run(options))
    try:
        settings = Settings.from_env()
    except BadSettings as error:
        serving = importlib.import_module("notifier.channels.serving")
        raise BadSettings(*error.faults, *serving.faults()) from None
    if options.command == "web":
        # The words of the command line stay on it, so that people find the process by them.
        os.execv(sys.executable, [sys.executable, str(WSGI), "-m", "notifier", *sys.argv[1:]])
    # A command prints what it does itself. What goes on running says more, once it is set up
    logs.configure(as_json=settings.is_production, level="warning")
    module, _, function = options.program.partition(":")
    gc.disable()  # what is imported stays, so looking for garbage in it is a tenth of a start
    program = getattr(importlib.import_module(module), function)
    gc.freeze()  # or the first look would be at all that was imported
    gc.enable()
    return int(program(settings, options))


def explained(program: Callable[[], int]) -> int:
    """Runs a program. A fault that an operator can mend is printed as a sentence instead of a trace.

    A reader that closes the pipe early (`… | head -1`) is no fault.
    """
    try:
        code = program()
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more as it ends
        return 0
    except (KeyboardInterrupt, EOFError):  # Ctrl-C, or Ctrl-D where a password is asked for
        print(file=sys.stderr)
        return 128 + signal.SIGINT
    except BadSettings as error:
        print(error, file=sys.stderr)
        return 2
    except KeysDoNotFit as error:
        print(
            (
                f"The keys do not fit the database: {error}.\nStart with the ENCRYPTION_KEYS (and "
                "SECRET_KEY) it was written with."
            ),
            file=sys.stderr,
        )
        return 1
    except NotReady as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
