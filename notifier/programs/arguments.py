"""The command line: which commands there are, their options, and which program each starts.

Read by `notifier.__main__`. A program is named by string, `module:function`; nothing of it is imported here.
"""

import argparse
import re
from collections.abc import Callable, Sequence
from typing import Any

from notifier.core.capacity import parse_count, parse_share
from notifier.ground.version import VERSION

_PATHS = ("file", "folder", "map")
_Command = Callable[[str, str, str], argparse.ArgumentParser]  # name, program, help


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m notifier", description="Notifier, a self-hosted notification system."
    )
    parser.add_argument("--version", action="version", version=f"Notifier {VERSION}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, program: str, help: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help, description=help)
        sub.set_defaults(program=program)
        return sub

    for add in (_processes, _installation, _accounts, _producers, _providers, _flags, _files, _keys, _send, _capacity):
        add(command)
    return parser


def read(argv: Sequence[str] | None) -> argparse.Namespace:
    """Settings of a provider, and the people and data of `send`, may stand behind options too: argparse takes words
    that go together only in one place.
    """
    parser = arguments()
    options, others = parser.parse_known_args(argv)
    free = getattr(options, "options", getattr(options, "words", None))
    if others and (free is None or any(word.startswith("-") for word in others)):
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    if free is not None:
        free += others
    return options


def not_text(options: argparse.Namespace) -> list[str]:
    """Those of the words that are none: bytes of another encoding. Names of files may be such."""
    values = [value for name, value in vars(options).items() if name not in _PATHS]
    words = [word for value in values for word in (value if isinstance(value, list) else [value])]
    return [word for word in words if isinstance(word, str) and any("\ud800" <= sign <= "\udfff" for sign in word)]


def _processes(command: _Command) -> None:
    command(
        "up",
        "notifier.programs.up:run",
        "run everything here, supervised: Redis, web, worker, scheduler, sink, consume",
    )
    web = command("web", "", "serve HTTP and Socket.IO")
    web.add_argument("--reuse-port", action="store_true", help="let several web processes share the port")
    fd = "take connections from the socket that was inherited as file descriptor N, instead of HOST and PORT"
    web.add_argument("--fd", type=int, metavar="N", help=fd)
    worker = command("worker", "notifier.programs.worker:run", "send what is queued")
    worker.add_argument(
        "--queues", default="*", metavar="PATTERN", help="only the queues that match, such as 'sms.*' or 'sms.*,push.*'"
    )
    worker.add_argument(
        "--lanes", type=_count, default=400, metavar="N", help="how many sends may be in flight at once (400)"
    )
    worker.add_argument("--processes", type=_count, default=1, metavar="N", help="how many such processes to run (1)")
    worker.add_argument("--burst", action="store_true", help="end when the queues are empty")
    scheduler = command("scheduler", "notifier.programs.scheduler:run", "release what is due and recover what was lost")
    sink = command("sink", "notifier.programs.sink:run", "send what became of messages to EVENTS_SINK")
    consume = command("consume", "notifier.programs.consume:run", "take events from a message bus")
    consume.add_argument(
        "url",
        nargs="?",
        metavar="URL",
        help="such as kafka://host:9092/topic, amqp://host/vhost?queue=NAME, sqs://region/queue or "
        "redis+stream://host:6379/0/stream (CONSUME_URL, which keeps a password off the command line)",
    )
    consume.add_argument("--map", metavar="FILE", help="TOML: which of our fields stands where in a message")
    for measured in (worker, scheduler, sink, consume):
        measured.add_argument("--metrics-fd", type=int, help=argparse.SUPPRESS)


def _installation(command: _Command) -> None:
    migrate = command(
        "migrate", "notifier.programs.cli:migrate", "bring the database up to date; running it again changes nothing"
    )
    migrate.add_argument("--first-start", action="store_true", help=argparse.SUPPRESS)
    doctor = command(
        "doctor",
        "",
        "check the installation and say what to do; changes nothing, and ends with 1 when there is a fault",
    )
    doctor.add_argument("checks", nargs="*", metavar="CHECK", help="only these, such as 'redis clocks' (all)")
    doctor.add_argument("--json", action="store_true", help="for machines")
    command("demo", "notifier.programs.cli:demo", "add a demo person and a handful of notifications")


def _accounts(command: _Command) -> None:
    admin = command(
        "create-admin",
        "notifier.programs.cli:create_admin",
        "add an admin; asks for a password, or generates one when there is no terminal",
    )
    admin.add_argument("email", metavar="EMAIL")
    reset = command(
        "reset-password",
        "notifier.programs.cli:reset_password",
        "give somebody a new password; asks for it, or generates one when there is no terminal",
    )
    reset.add_argument("email", metavar="EMAIL")
    lost = command(
        "remove-second-factor",
        "notifier.programs.cli:remove_second_factor",
        "for somebody who has lost theirs: they sign in without one, and set up another",
    )
    lost.add_argument("email", metavar="EMAIL")


def _producers(command: _Command) -> None:
    producer = command("create-producer", "notifier.programs.cli:create_producer", "add a producer and print its key")
    producer.add_argument("name", type=_producer_name, metavar="NAME")
    producer.add_argument(
        "--scope", action="extend", nargs="+", metavar="SCOPE", help="what the key may do (notify read users)"
    )
    producer.add_argument("--test", action="store_true", help="a test key: does everything but send")
    producer.add_argument(
        "--origin",
        action="append",
        metavar="ORIGIN",
        help="a site, https://shop.example, whose pages may show the inbox; repeatable (any)",
    )
    producer.add_argument(
        "--network",
        action="append",
        metavar="CIDR",
        help="the key works only from this network, 203.0.113.0/24; repeatable (anywhere)",
    )
    producers = command(
        "producers",
        "notifier.programs.cli:show_producers",
        "list the producers, or set whose pages may show their users' inboxes",
    )
    of_producers = producers.add_subparsers(metavar="ACTION")
    of_producers.add_parser("list", help="list them")
    allowed = of_producers.add_parser("origins", help="show or set the sites of one")
    allowed.set_defaults(program="notifier.programs.cli:set_origins")
    allowed.add_argument("name", metavar="NAME", help="its name or its id")
    allowed.add_argument(
        "origins",
        nargs="*",
        metavar="ORIGIN",
        help="https://shop.example; 'any' lifts the limit; none shows what is set",
    )


def _providers(command: _Command) -> None:
    providers = command(
        "providers",
        "notifier.programs.cli:show_providers",
        "list the providers and their health; add, remove or force one",
    )
    actions = providers.add_subparsers(metavar="ACTION")
    add = actions.add_parser("add", help="add an account of a provider")
    add.set_defaults(program="notifier.programs.cli:add_provider")
    add.add_argument("name", metavar="NAME", help="what it is called in lists and logs")
    add.add_argument("adapter", metavar="PROVIDER", help="such as 'smtp'")
    add.add_argument(
        "options",
        nargs="*",
        metavar="SETTING=VALUE",
        help="its settings; SETTING=- asks for the value, so that it stays off the command line",
    )
    add.add_argument(
        "--position",
        type=_position,
        default=0,
        metavar="N",
        help="lower is tried first (0); providers from the environment are at 0",
    )
    add.add_argument(
        "--weight", type=_count, default=1, metavar="N", help="its share among those at the same position (1)"
    )
    remove = actions.add_parser("remove", help="remove an account")
    remove.set_defaults(program="notifier.programs.cli:remove_provider")
    remove.add_argument("name", metavar="NAME")
    force = actions.add_parser("force", help="open or close a breaker by hand, or let it work by itself again")
    force.set_defaults(program="notifier.programs.cli:force_provider")
    force.add_argument("name", metavar="NAME")
    force.add_argument("state", choices=["open", "closed", "auto"])


def _flags(command: _Command) -> None:
    flags = command(
        "flags", "notifier.programs.cli:show_flags", "list whom channels and providers are on for; set or clear a flag"
    )
    of_flags = flags.add_subparsers(metavar="ACTION")
    of_flags.add_parser("list", help="list those that are set; everything else is on")
    set_ = of_flags.add_parser("set", help="on for a percentage of the users, always the same ones; 0 is off")
    set_.set_defaults(program="notifier.programs.cli:set_flag")
    set_.add_argument("name", metavar="NAME", help="a channel, 'sms', or an account of a provider, 'email:smtp'")
    set_.add_argument("percent", type=int, metavar="PERCENT", help="0 to 100")
    clear = of_flags.add_parser("clear", help="on for everybody again")
    clear.set_defaults(program="notifier.programs.cli:clear_flag")
    clear.add_argument("name", metavar="NAME")


def _files(command: _Command) -> None:
    templates = command("templates", "", "keep templates and event types as files: see templates --help")
    of_templates = templates.add_subparsers(metavar="ACTION", required=True)
    for name, help in (
        ("pull", "write what is published into a folder, a file for each template and its type"),
        ("diff", "show what push --publish would change; ends with 1 if that is anything"),
        ("push", "check all files; ends with 1 when one of them is bad"),
    ):
        action = of_templates.add_parser(name, help=help, description=help)
        action.set_defaults(program=f"notifier.programs.template_files:{name}")
        action.add_argument("folder", metavar="DIR", help="with a file such as order_shipped.toml for each")
        if name == "push":
            action.add_argument("--publish", action="store_true", help="publish what differs, each file as a whole")
    export = command("export", "notifier.programs.export:run", "write the events of a span of time to a file")
    export.add_argument(
        "--since", required=True, metavar="T", help="a date or time, 2026-11-29 or 2026-11-29T08:30:00Z (UTC)"
    )
    export.add_argument("--until", metavar="T", help="up to, and without, this date or time (now)")
    export.add_argument("--format", choices=["ndjson", "parquet"], default="ndjson", help="(ndjson)")
    export.add_argument("file", metavar="FILE", help="where to; - is the standard output")


def _keys(command: _Command) -> None:
    command(
        "replace-signing-keys",
        "notifier.programs.cli:replace_signing_keys",
        "for keys that may be known to others: end all access tokens, and sign new ones with a new key",
    )
    keys = command("keys", "notifier.programs.keys:show", "list the encryption keys and say which may be taken out")
    of_keys = keys.add_subparsers(metavar="ACTION")
    of_keys.add_parser("list", help="list them")
    anew = of_keys.add_parser("reencrypt", help="have the schedulers encrypt everything with the first key")
    anew.set_defaults(program="notifier.programs.keys:reencrypt")
    anew.add_argument("--new-digest-key", action="store_true", help="make a digest key first, and digest all with it")
    forgotten = of_keys.add_parser("forget", help="start without a key that is lost; what it has encrypted is, too")
    forgotten.set_defaults(program="notifier.programs.keys:forget")
    forgotten.add_argument("key", metavar="KEY", help="its id")


def _send(command: _Command) -> None:
    send = command("send", "", "send one notification, from here or to the installation at NOTIFIER_URL")
    send.epilog = (
        "NAME=VALUE is text, NAME:=VALUE any JSON, such as n:=3. Ends with 0 if it was accepted, 1 if it was refused, "
        "2 if the words make no sense, and 75 if it may work later."
    )
    send.add_argument("type", metavar="TYPE", help="the event type, such as order_shipped")
    send.add_argument("words", nargs="*", metavar="PERSON|NAME=VALUE", help="ids of people, and the data")
    send.add_argument("--channel", action="append", metavar="CHANNEL", help="instead of the type's; repeatable")
    send.add_argument("--priority", metavar="PRIORITY", help="low, medium, high or urgent (the type's)")
    send.add_argument("--at", metavar="T", help="not before this time, 2026-12-01T09:00:00Z")
    send.add_argument("--email", metavar="ADDRESS", help="of the person, who is created where there is none")
    send.add_argument("--phone", metavar="NUMBER", help="the same")
    send.add_argument("--idempotency-key", metavar="KEY", help="repeated with the same one, it is sent once")
    send.add_argument("--url", metavar="URL", help="the installation to call (NOTIFIER_URL, or else the own one)")
    send.add_argument("--key", metavar="KEY", help="its API key (NOTIFIER_KEY, which others do not see)")
    send.add_argument("--json", action="store_true", help="print the whole answer, for machines")


def _capacity(command: _Command) -> None:
    sizing = command("capacity", "", "reckon what a load takes: processes, databases, Redis, disk")
    rate = sizing.add_mutually_exclusive_group(required=True)
    for span in ("day", "hour", "second"):
        rate.add_argument(f"--per-{span}", type=_amount, metavar="N", help="notifications, such as 250M or 10k")
    sizing.add_argument(
        "--channels",
        nargs="+",
        type=_share,
        default=[("inapp", 1.0), ("email", 1.0)],
        metavar="CHANNEL=SHARE",
        help="how many of them go out on each (inapp=1 email=1)",
    )
    peak = "how many times the average comes at the worst moment (10 with --per-day, else 1)"
    sizing.add_argument("--peak", type=_amount, metavar="TIMES", help=peak)
    ways = ["bulk", "single", "broadcast"]
    sizing.add_argument("--calls", choices=ways, default="bulk", help="how they are submitted (bulk)")
    sizing.add_argument("--answer-ms", type=_amount, default=100.0, metavar="MS", help="what a provider takes (100)")
    sizing.add_argument("--people", type=_amount, metavar="N", help="stored people")
    sizing.add_argument("--database-cores", type=_count, default=16, metavar="N", help="of a PostgreSQL (16)")
    kept = "days for which notifications are kept (90; RETENTION decides)"
    sizing.add_argument("--kept-days", type=_amount, default=90.0, metavar="DAYS", help=kept)


def _amount(text: str) -> float:
    return float(_read(parse_count, text))


def _position(text: str) -> int:
    """As on the page of an account."""
    found = re.fullmatch(r"-?\d{1,4}", text, re.ASCII)
    if not found or not -1000 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError("must be a number from -1000 to 1000")
    return int(text)


def _producer_name(text: str) -> str:
    name = text.strip()
    if not 1 <= len(name) <= 200 or name.splitlines() != [name]:
        raise argparse.ArgumentTypeError("the name of a producer has 1 to 200 characters, in one line")
    return name


def _share(text: str) -> tuple[str, float]:
    channel, share = _read(parse_share, text)
    return channel, share


def _read(parse: Callable[[str], Any], text: str) -> Any:
    try:
        return parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 4096:
        raise argparse.ArgumentTypeError("must be a number from 1 to 4096")
    return int(text)
