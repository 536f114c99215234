"""`keys`: which keys are in use, and encrypting and digesting everything with the newest."""

import argparse

from notifier.core.errors import Rejected
from notifier.ground.clock import now
from notifier.ground.config import Settings
from notifier.operations import digest_keys, encryption_keys, reencryption
from notifier.operations.digest_keys import DigestKeyLine
from notifier.operations.encryption_keys import KeyLine
from notifier.programs.cli import inside, refuse


def show(settings: Settings, _options: argparse.Namespace) -> int:
    with inside(settings):
        for key in encryption_keys.listing():
            print(f"{key.id:<32} {_state(key)}")
        for digest_key in digest_keys.listing():
            print(f"{f'digest key {digest_key.number}':<32} {_state_of_digests(digest_key)}")
        run = reencryption.progress()
    if run and run.finished_at:
        print(f"Everything was encrypted with {run.target} by {run.finished_at:%Y-%m-%d %H:%M} UTC.")
        for key_id, count in sorted(run.unreadable.items()):
            print(f"{count:,} values could not be read with the key {key_id}.")
    elif run and run.begins_at:
        print(f"All processes know the digest key {run.digest_key} by {run.begins_at:%H:%M:%S} UTC; then it goes on.")
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


def _state_of_digests(key: DigestKeyLine) -> str:
    if key.is_stored:
        return "digests"
    if key.is_left:
        return "still digests some alone"
    return "digests in a minute" if key.stored_from and key.stored_from > now() else "digests nothing alone"


def reencrypt(settings: Settings, options: argparse.Namespace) -> int:
    with inside(settings):
        try:
            reencryption.begin(with_new_digest_key=options.new_digest_key)
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
