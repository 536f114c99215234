"""`keys`: which of ENCRYPTION_KEYS are in use, and encrypting everything with the first of them."""

import argparse

from notifier.core.errors import Rejected
from notifier.ground.config import Settings
from notifier.operations import encryption_keys, reencryption
from notifier.operations.encryption_keys import KeyLine
from notifier.programs.cli import inside, refuse


def show(settings: Settings, _options: argparse.Namespace) -> int:
    with inside(settings):
        for key in encryption_keys.listing():
            print(f"{key.id:<32} {_state(key)}")
        run = reencryption.progress()
    if run and run.finished_at:
        print(f"Everything was encrypted with {run.target} by {run.finished_at:%Y-%m-%d %H:%M} UTC.")
        for key_id, count in sorted(run.unreadable.items()):
            print(f"{count:,} values could not be read with the key {key_id}.")
    elif run:
        idle = " No scheduler that has it first is at work." if run.is_idle else ""
        print(f"Everything is being encrypted with {run.target}: about {run.percent} % of round {run.round}.{idle}")
    return 0


def _state(key: KeyLine) -> str:
    if key.encrypts:
        return "encrypts"
    if key.may_go:
        return "may be taken out"
    return "still needed" if key.unused_at is None else "taken out"


def reencrypt(settings: Settings, _options: argparse.Namespace) -> int:
    with inside(settings):
        try:
            reencryption.begin()
        except Rejected as refused:
            return refuse(f"Nothing was begun: {refused.detail}.")
    first = settings.encryption_keys.keys[0][0]
    print(f"The schedulers encrypt everything with {first}. To see how far they are, run: python -m notifier keys")
    return 0


def forget(settings: Settings, options: argparse.Namespace) -> int:
    """Without the vault, which does not open while a key is missing."""
    with inside(settings, opens_vault=False):
        try:
            encryption_keys.forget(options.key)
        except Rejected as refused:
            return refuse(f"{refused.detail}.")
    print(f"Processes start without {options.key}. What it has encrypted cannot be read.")
    return 0
