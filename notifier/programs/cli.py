"""The commands that do one thing and end: migrate, create-admin, reset-password, create-producer, producers, providers,
flags, remove-second-factor, replace-signing-keys, demo.

Each takes the settings and its parsed arguments, prints text for people, and returns the exit code.
"""

import argparse
import contextlib
import dataclasses
import fcntl
import getpass
import json
import os
import platform
import secrets
import sys
from collections.abc import Iterator

import redis
from flask_migrate import upgrade
from sqlalchemy import select

from notifier.access import accounts, keys, notices, origins, second_factor, signing_keys
from notifier.app import create_app
from notifier.channels import CHANNELS
from notifier.core import networks
from notifier.core.errors import Rejected
from notifier.ground import logs, schema
from notifier.ground.config import NotReady, Settings
from notifier.ground.database import UNAVAILABLE
from notifier.ground.engines import sqlite_file
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.ledgers import audit
from notifier.models import Account, Producer
from notifier.models.producer import SCOPES
from notifier.operations import installation
from notifier.programs.demonstration import add_demo
from notifier.providers import accounts as providers
from notifier.providers import flags, health

_DEFAULT_SCOPES = ("notify", "read", "users")


def migrate(settings: Settings, options: argparse.Namespace) -> int:
    """Brings the database up to date, then what every installation has. `up` adds --first-start and reads the last
    line.
    """
    logs.configure(as_json=settings.is_production, level=settings.log_level)
    _make_room(settings)
    with _others_wait(settings), inside(dataclasses.replace(settings, database_pooler=None), may_be_older=True):
        upgrade()
        installation.prepare()
        if options.first_start:
            first = installation.first_start(settings)
            if settings.notifier_demo:
                add_demo(only_once=True)
            print(json.dumps(dataclasses.asdict(first)))
    return 0


def _make_room(settings: Settings) -> None:
    """The folder of SQLite's file: in development the first secret has made it, in production nobody has."""
    file = sqlite_file(settings.database_url)
    if file is None:
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NotReady(
            f"The folder {file.parent} cannot be created: {error.strerror}. Correct NOTIFIER_HOME or DATABASE_URL."
        ) from None


@contextlib.contextmanager
def _others_wait(settings: Settings) -> Iterator[None]:
    """Of several that migrate at once, with SQLite: one that is being made is locked for everybody, and no migration of
    it waits for another. (With PostgreSQL they wait themselves, `migrations/env.py`.)
    """
    file = sqlite_file(settings.database_url)
    if file is None:
        yield
        return
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system that knows no locks
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def create_admin(settings: Settings, options: argparse.Namespace) -> int:
    with inside(settings):
        if db.session.scalar(select(Account.id).where(Account.email == options.email.strip().lower())):
            return refuse(f"There is already an account for {options.email}.")
        is_asked = sys.stdin.isatty()
        password = getpass.getpass(f"Password for {options.email}: ") if is_asked else secrets.token_urlsafe(12)
        try:
            installation.ensure_admin(options.email, password)
        except ValueError as error:
            return refuse(f"No account was created: {error}.")
    print(f"{options.email} can now sign in as an admin.")
    if not is_asked:
        print(password)
    return 0


def reset_password(settings: Settings, options: argparse.Namespace) -> int:
    """Prints a generated password alone on the last line, for scripts."""
    with inside(settings):
        account_id = db.session.scalar(select(Account.id).where(Account.email == options.email.strip().lower()))
        if account_id is None:
            return refuse(f"There is no account for {options.email}.")
        is_asked = sys.stdin.isatty()
        password = getpass.getpass(f"New password for {options.email}: ") if is_asked else secrets.token_urlsafe(12)
        try:
            accounts.set_password(account_id, password)
        except ValueError as error:
            return refuse(f"The password was not changed: {error}.")
    print(f"{options.email} has a new password, and has been signed out everywhere.")
    if not is_asked:
        print(password)
    return 0


def create_producer(settings: Settings, options: argparse.Namespace) -> int:
    """Prints only the key on the last line, for scripts."""
    scopes = [scope for words in options.scope or [] for scope in words.split(",") if scope] or _DEFAULT_SCOPES
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown:
        return refuse(f"There is no scope {', '.join(unknown)}. The scopes are: {' '.join(SCOPES)}")
    try:
        allowed = [origins.parse(text) for text in options.origin] if options.origin else None
        allowed_from = networks.parse(options.network) if options.network else None
    except ValueError as error:
        return refuse(f"{error}.")
    with inside(settings):
        producer = keys.create_producer(options.name, allowed_origins=allowed)
        _, key = keys.create_key(producer.id, scopes=scopes, is_test=options.test, networks=allowed_from)
    print(f"{options.name} may {', '.join(scopes)}. This {'test ' if options.test else ''}key is shown once:")
    print(key)
    return 0


def show_producers(settings: Settings, _options: argparse.Namespace) -> int:
    with inside(settings):
        for producer in db.session.scalars(select(Producer).order_by(Producer.id)):
            print(
                f"{show('prd', producer.id)}  {producer.name:<24} "
                f"{_sites(producer)}{'  (disabled)' if producer.disabled_at else ''}"
            )
    return 0


def set_origins(settings: Settings, options: argparse.Namespace) -> int:
    """Without origins it only shows those that are set, so that nobody lifts a limit by looking."""
    with inside(settings):
        found = [p for p in db.session.scalars(select(Producer)) if options.name in (p.name, show("prd", p.id))]
        if len(found) != 1:
            several = f"{len(found)} producers are named {options.name}. Give the id of one of them."
            return refuse(several if found else f"There is no producer {options.name}.")
        key = found[0].id
        if options.origins:
            try:
                origins.limit(key, None if options.origins == ["any"] else options.origins)
            except ValueError as error:
                return refuse(f"Nothing was changed: {error}.")
        producer = db.session.get_one(Producer, key)
        print(f"{producer.name}: {_sites(producer)}")
    return 0


def _sites(producer: Producer) -> str:
    return "any site" if producer.allowed_origins is None else " ".join(producer.allowed_origins)


def show_providers(settings: Settings, _options: argparse.Namespace) -> int:
    with inside(settings):
        providers.refresh_now()
        try:
            states = health.states()
        except redis.RedisError:
            states = {}
            print("Redis cannot be reached: the health of the providers is unknown.", file=sys.stderr)
        listed = providers.listing()
        names = {entry["name"] for entry in listed}
        for entry in listed:
            print(
                f"{entry['channel']:<9} {entry['position']:>3} ×{entry['weight']:<3} {entry['name']:<24} "
                f"{states.get(entry['name'], 'closed')}"
            )
        served = {entry["channel"] for entry in listed}
        for name in CHANNELS:
            if CHANNELS[name].address is not None and name not in served:
                print(f"{name:<9}          {'(off)' if settings.is_production else '(captured by the sandbox)'}")
        for scope in sorted(states.keys() - names):
            print(f"{'':<18} {scope:<24} {states[scope]}")
    return 0


def add_provider(settings: Settings, options: argparse.Namespace) -> int:
    given = dict(entry.partition("=")[::2] for entry in options.options)
    given = {name: getpass.getpass(f"{name}: ") if value == "-" else value for name, value in given.items()}
    with inside(settings):
        try:
            providers.add(options.name, options.adapter, given, position=options.position, weight=options.weight)
        except Rejected as refused:
            return refuse(f"Nothing was added: {refused.detail}.")
    print(f"All processes will use {options.name} within {providers.REFRESH_S:g} seconds.")
    return 0


def remove_provider(settings: Settings, options: argparse.Namespace) -> int:
    with inside(settings):
        if not providers.remove(options.name):
            return refuse(f"There is no provider {options.name} in the database.")
    print(f"{options.name} is no longer used.")
    return 0


def force_provider(settings: Settings, options: argparse.Namespace) -> int:
    with inside(settings):
        try:
            health.force(options.name, options.state)
        except redis.RedisError as error:
            return refuse(f"Redis cannot be reached: {error}")
    print(f"{options.name} is {'automatic again' if options.state == 'auto' else options.state}.")
    return 0


def show_flags(settings: Settings, _options: argparse.Namespace) -> int:
    with inside(settings):
        found = flags.listing()
    for name, percentage in found.items():
        print(f"{name:<24} {_on(percentage)}")
    if not found:
        print("No flag is set: every channel and provider is on for everybody.")
    return 0


def set_flag(settings: Settings, options: argparse.Namespace) -> int:
    with inside(settings):
        try:
            flags.put(options.name, options.percent)
        except Rejected as refused:
            return refuse(f"Nothing was changed: {refused.detail}.")
    print(f"{options.name} is {_on(options.percent)}. All processes follow within {providers.REFRESH_S:g} seconds.")
    return 0


def clear_flag(settings: Settings, options: argparse.Namespace) -> int:
    with inside(settings):
        if not flags.clear(options.name):
            return refuse(f"There is no flag {options.name}.")
    print(f"{options.name} is on again for everybody. All processes follow within {providers.REFRESH_S:g} seconds.")
    return 0


def _on(percentage: int) -> str:
    return "off" if percentage == 0 else "on" if percentage == 100 else f"on for {percentage} % of the users"


def remove_second_factor(settings: Settings, options: argparse.Namespace) -> int:
    with inside(settings):
        account = db.session.scalar(select(Account).where(Account.email == options.email.strip().lower()))
        if account is None or not second_factor.remove(account.id):
            return refuse(f"{options.email} has no second factor.")
        notices.tell(account, notices.FACTOR_REMOVED)
    print(f"{options.email} signs in without a second factor now, and has been signed out everywhere.")
    return 0


def replace_signing_keys(settings: Settings, _options: argparse.Namespace) -> int:
    with inside(settings):
        signing_keys.replace_now()
    print("Within 5 seconds no access token that was issued until now is accepted any more.")
    return 0


def demo(settings: Settings, _options: argparse.Namespace) -> int:
    with inside(settings):
        try:
            print(f"{add_demo()} notifications are on their way to the user 'demo' and to the first admin.")
        except Rejected as refused:
            return refuse(f"Not all of the demo is accepted here: {refused.detail}.")
    return 0


@contextlib.contextmanager
def inside(settings: Settings, *, may_be_older: bool = False, opens_vault: bool = True) -> Iterator[None]:
    """The app on a database that fits it, with the user of this shell as the actor. Raises NotReady before anything is
    made or changed.
    """
    schema.require(settings.database_url, may_be_older=may_be_older)
    try:
        with (
            create_app(settings, opens_vault=opens_vault).app_context(),
            audit.acting_as(audit.COMMAND_LINE, platform.node()[:64]),
        ):
            yield
    except UNAVAILABLE as error:
        raise schema.DatabaseAway(settings.database_url, error) from error


def refuse(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return 1
