"""The commands that do one thing and end: migrate, create-admin, create-producer, doctor, demo.

Each takes the settings and its parsed arguments, prints for a person, and returns the exit code.
"""

import argparse
import dataclasses
import getpass
import json
import secrets
import sys

from flask_migrate import upgrade
from sqlalchemy import select

from notifier import accounts, installation, logs
from notifier.app import create_app
from notifier.config import Settings
from notifier.demonstration import add_demo
from notifier.doctor import examine
from notifier.extensions import db
from notifier.models import Account
from notifier.models.producer import SCOPES

_DEFAULT_SCOPES = ("notify", "read", "users")


def migrate(settings: Settings, options: argparse.Namespace) -> int:
    """Brings the database up to date, then what every installation has. `up` adds --first-start and reads the last line."""
    logs.configure(as_json=settings.is_production)
    with create_app(settings).app_context():
        upgrade()
        installation.prepare()
        if options.first_start:
            first = installation.first_start(settings)
            if settings.notifier_demo:
                add_demo(only_once=True)
            print(json.dumps(dataclasses.asdict(first)))
    return 0


def create_admin(settings: Settings, options: argparse.Namespace) -> int:
    with create_app(settings).app_context():
        if db.session.scalar(select(Account.id).where(Account.email == options.email.strip().lower())):
            return _refuse(f"There is an account of {options.email} already.")
        is_asked = sys.stdin.isatty()
        password = getpass.getpass(f"Password for {options.email}: ") if is_asked else secrets.token_urlsafe(12)
        try:
            installation.ensure_admin(options.email, password)
        except ValueError as error:
            return _refuse(f"No account was made: {error}.")
    print(f"{options.email} may sign in as an admin.")
    if not is_asked:
        print(password)
    return 0


def create_producer(settings: Settings, options: argparse.Namespace) -> int:
    """Prints the key alone on the last line, for scripts."""
    scopes = [scope for words in options.scope or [] for scope in words.split(",") if scope] or _DEFAULT_SCOPES
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown:
        return _refuse(f"There is no scope {', '.join(unknown)}. The scopes are: {' '.join(SCOPES)}")
    with create_app(settings).app_context():
        producer = accounts.create_producer(options.name)
        _, key = accounts.create_key(producer.id, scopes=scopes, is_test=options.test)
    print(f"{options.name} may {', '.join(scopes)}. This {'test ' if options.test else ''}key is shown once:")
    print(key)
    return 0


def doctor(settings: Settings, _options: argparse.Namespace) -> int:
    findings = examine(settings)
    for finding in findings:
        print(f"{'ok  ' if finding.is_ok else 'BAD '} {finding.what}")
        if finding.remedy:
            print(f"     → {finding.remedy}")
    return 0 if all(finding.is_ok for finding in findings) else 1


def demo(settings: Settings, _options: argparse.Namespace) -> int:
    with create_app(settings).app_context():
        print(f"{add_demo()} notifications are on their way to the user 'demo' and to the first admin.")
    return 0


def _refuse(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return 1
