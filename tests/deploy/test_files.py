"""Every file under deploy/, and the Dockerfile, judged by a program that we did not write."""

import http.client
import json
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from notifier.ground.config import setting_names
from notifier.ground.encryption import KeyRing
from tests.channels.conftest import Authority
from tests.deploy.front import configured, nginx
from tests.running import ROOT, eventually, free_port, installed

DEPLOY = ROOT / "deploy"
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
KNOWN = {*setting_names(), "SMTP_URL", "SMTP_FROM"}


def run(*command: str | Path, **options: object) -> str:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=60, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout + done.stderr)


# ---- the image


def test_the_dockerfile_has_no_fault() -> None:
    assert run(Path(sys.executable).parent / "hadolint", ROOT / "Dockerfile") == ""


def test_what_the_image_is_made_of_is_sent_to_the_engine_and_nothing_else() -> None:
    lines = (ROOT / ".dockerignore").read_text().split()
    assert lines[0] == "*"
    sent = {line.removeprefix("!") for line in lines if line.startswith("!")}
    copied = set(re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE))
    named = {name.split("/")[0] for names in copied for name in names.split() if name != "."}
    assert named <= sent
    assert all((ROOT / name).exists() for name in sent)


class _Healthy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_its_health_is_asked_for_by_no_proxy() -> None:
    """Docker gives containers the proxy of its own settings."""
    [words] = re.findall(r"^HEALTHCHECK[^\[]*CMD (\[.*\])$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    python, *rest = json.loads(words)
    assert python == "python"
    with ThreadingHTTPServer(("127.0.0.1", 0), _Healthy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        environment = {"PORT": str(server.server_address[1]), "http_proxy": f"http://127.0.0.1:{free_port()}"}
        run(sys.executable, *rest, env=environment)
        server.shutdown()


# ---- compose


@pytest.fixture(scope="module")
def compose() -> dict:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


@pytest.mark.slow
def test_compose_takes_the_file(tmp_path: Path) -> None:
    shutil.copytree(DEPLOY, tmp_path / "deploy")
    run(tmp_path / "deploy" / "make-secrets")
    command = [
        installed("docker-compose"),
        "-f",
        str(tmp_path / "deploy" / "compose.yaml"),
        "config",
        "-q",
    ]
    run(*command, env={"PATH": "/usr/bin:/bin", "PUBLIC_URL": "https://notifier.example.com"})
    # As docs/deployment.md has it: `docker compose exec` needs it as much as `up`
    (tmp_path / "deploy" / ".env").write_text("PUBLIC_URL=https://notifier.example.com\n")
    run(*command, env={"PATH": "/usr/bin:/bin"})
    (tmp_path / "deploy" / ".env").unlink()
    refused = subprocess.run(command, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"}, timeout=60)
    assert refused.returncode != 0
    assert "say where people will open it" in refused.stderr


def test_its_settings_are_ones_that_notifier_has(compose: dict) -> None:
    for name in compose["x-notifier"]["environment"]:
        assert name.removesuffix("_FILE") in KNOWN


def test_its_secrets_are_made(compose: dict, tmp_path: Path) -> None:
    shutil.copy(DEPLOY / "make-secrets", tmp_path)
    run(tmp_path / "make-secrets")
    made = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    assert made.keys() == compose["secrets"].keys()
    assert KeyRing.parse(made["encryption_keys"])
    assert made["postgres_password"] in made["database_url"]
    assert len(made["secret_key"]) >= 32
    assert (tmp_path / "secrets").stat().st_mode & 0o77 == 0
    run(tmp_path / "make-secrets")
    assert made == {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}, "they are never replaced"


def test_no_secret_is_made_of_nothing(tmp_path: Path) -> None:
    """As where openssl is missing, or the disk is full: what stands there is kept for good."""
    shutil.copy(DEPLOY / "make-secrets", tmp_path)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sh", "cat", "chmod", "dirname", "mkdir", "mv"):
        (programs / name).symlink_to(installed(name))
    done = subprocess.run([tmp_path / "make-secrets"], env={"PATH": str(programs)}, capture_output=True, check=False)
    assert done.returncode != 0
    assert [path.name for path in (tmp_path / "secrets").iterdir()] == []
    run(tmp_path / "make-secrets")
    assert len((tmp_path / "secrets" / "secret_key").read_text()) >= 32


# ---- Kubernetes


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_a_manifest_is_what_kubernetes_takes(path: Path) -> None:
    for document in yaml.safe_load_all(path.read_text()):
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)


def test_manifests_fit_together() -> None:
    documents = [document for path in MANIFESTS for document in yaml.safe_load_all(path.read_text())]
    by_kind: dict[str, list[dict]] = {}
    for document in documents:
        assert document["metadata"]["namespace"] == "notifier"
        by_kind.setdefault(document["kind"], []).append(document)
    (settings,) = by_kind["ConfigMap"]
    assert [name for name in settings["data"] if name.removesuffix("_FILE") not in KNOWN] == []
    deployments = {one["metadata"]["name"]: one for one in by_kind["Deployment"]}
    scaled = {one["spec"]["scaleTargetRef"]["name"] for one in by_kind["HorizontalPodAutoscaler"]}
    for name, one in deployments.items():
        assert ("replicas" in one["spec"]) != (name in scaled), f"{name}: one of the two says how many there are"
        labels = one["spec"]["template"]["metadata"]["labels"]
        assert one["spec"]["selector"]["matchLabels"] == labels
        assert labels in [budget["spec"]["selector"]["matchLabels"] for budget in by_kind["PodDisruptionBudget"]]
    assert scaled <= deployments.keys()
    for pod in [one["spec"]["template"]["spec"] for one in [*deployments.values(), *by_kind["Job"]]]:
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["enableServiceLinks"] is False
        (container,) = pod["containers"]
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["envFrom"] == [{"configMapRef": {"name": settings["metadata"]["name"]}}]


def test_a_process_that_waits_for_the_database_is_not_killed_for_it() -> None:
    documents = [document for path in MANIFESTS for document in yaml.safe_load_all(path.read_text())]
    containers = [
        container
        for one in documents
        if one["kind"] == "Deployment"
        for container in one["spec"]["template"]["spec"]["containers"]
    ]
    assert len(containers) == 5
    for probe in (container["startupProbe"] for container in containers):
        assert probe["periodSeconds"] * probe["failureThreshold"] >= 3600


# ---- systemd

UNITS = ["notifier.target", "notifier-web@1.service", "notifier-worker.service", "notifier-scheduler.service"]
MOST_EXPOSED = 2.0  # of 10, as `systemd-analyze security` counts; a unit without any of it has 9.6


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root directory in which the units are installed."""
    root = tmp_path_factory.mktemp("system")
    shutil.copytree(DEPLOY / "systemd", root / "etc/systemd/system")
    (root / "opt/notifier/bin").mkdir(parents=True)
    (root / "opt/notifier/bin/notifier").write_text("#!/bin/sh\n")
    (root / "opt/notifier/bin/notifier").chmod(0o755)
    targets = root / "usr/lib/systemd/system"
    targets.mkdir(parents=True)
    for path in Path("/usr/lib/systemd/system").glob("*.target"):
        shutil.copy(path, targets, follow_symlinks=True)
    return root


def test_systemd_takes_the_units(system: Path) -> None:
    others = ["notifier-sink.service", "notifier-consume.service", "notifier-migrate.service", "notifier-web.socket"]
    said = run(installed("systemd-analyze"), "verify", f"--root={system}", *UNITS, *others)
    assert [line for line in said.splitlines() if "notifier" in line] == []


def test_a_unit_is_tried_again_however_long_the_database_is_away() -> None:
    common = (DEPLOY / "systemd/notifier-.service.d/common.conf").read_text()
    unit, service = common.split("[Service]")
    assert "\nStartLimitIntervalSec=0\n" in unit  # in another section systemd would pass over it
    assert "\nRestart=on-failure\n" in service


@pytest.mark.parametrize("unit", UNITS[1:])
def test_a_unit_may_do_little(system: Path, unit: str) -> None:
    said = run(installed("systemd-analyze"), "security", "--offline=true", f"--root={system}", unit)
    found = re.search(r"Overall exposure level for \S+: (\d+\.\d)", said)
    assert found
    assert float(found[1]) <= MOST_EXPOSED


def test_what_a_command_prints_can_be_piped_on(tmp_path: Path) -> None:
    """With a terminal alone, lines end with a carriage return, and faults are among them."""
    (tmp_path / "systemd-run").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (tmp_path / "systemd-run").chmod(0o755)
    words = run(DEPLOY / "systemd-command", "export", "-", env={"PATH": f"{tmp_path}:/usr/bin:/bin"}).split()
    assert {"--pty", "--pipe"} <= set(words)
    assert words[-3:] == ["/opt/notifier/bin/notifier", "export", "-"]


# ---- nginx


def test_nginx_takes_the_configuration(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.server_for("127.0.0.1")
    file = configured(tmp_path, free_port(), free_port(), free_port(), tmp_path / "127.0.0.1.pem")
    assert "warn" not in run(installed("nginx"), "-t", "-p", tmp_path, "-c", file)
    # The upstream of compose.yaml, without what needs a newer nginx and Docker's names
    upstream = (DEPLOY / "nginx" / "upstream.compose.conf").read_text()
    assert "web:5000 resolve" in upstream
    (tmp_path / "upstream.conf").write_text(upstream.replace("web:5000 resolve", "127.0.0.1:5000"))
    assert "warn" not in run(installed("nginx"), "-t", "-p", tmp_path, "-c", file)


class _Reading(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        left = int(self.headers["Content-Length"])
        while left:
            left -= len(self.rfile.read(min(left, 65_536)))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_nginx_lets_through_what_notifier_takes_and_no_more(tmp_path: Path) -> None:
    """As much as another cell says at once is more than a producer may send."""
    Authority(tmp_path).server_for("127.0.0.1")
    https, mib = free_port(), 1024 * 1024
    sizes = {"/api/v1/notifications": 8_000, "/api/v1/uploads": 20 * mib, "/cells/calls": 5 * mib}
    answers = {}
    with ThreadingHTTPServer(("127.0.0.1", 0), _Reading) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        with nginx(tmp_path, web.server_address[1], https, tmp_path / "127.0.0.1.pem"):
            for path, size in {**sizes, "/api/v1/users": 2 * mib}.items():
                context = ssl.create_default_context(cafile=tmp_path / "127.0.0.1.pem")
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                connection = http.client.HTTPSConnection("127.0.0.1", https, timeout=60, context=context)
                connection.putrequest("POST", path)
                connection.putheader("Content-Length", str(size))
                connection.endheaders()
                if path in sizes:  # what is too long is refused before it comes
                    connection.send(b"x" * size)
                answers[path] = connection.getresponse().status
                connection.close()
        web.shutdown()
    assert answers == {**dict.fromkeys(sizes, 200), "/api/v1/users": 413}


# ---- logs


class _Elasticsearch(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    lines: list[dict]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).splitlines()
        self.lines.extend(json.loads(line) for line in body)
        answer = json.dumps({"errors": False, "items": [{"index": {"status": 201}}] * (len(body) // 2)}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def elasticsearch() -> Iterator[tuple[int, list[dict]]]:
    lines: list[dict] = []
    handler = type("Handler", (_Elasticsearch,), {"lines": lines})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1], lines
        server.shutdown()


def test_rsyslog_takes_lines_apart_and_sends_them_on(tmp_path: Path, elasticsearch: tuple[int, list[dict]]) -> None:
    rsyslogd = installed("rsyslogd")
    ours = (DEPLOY / "logs" / "rsyslog.conf").read_text()
    run(rsyslogd, "-N1", "-f", DEPLOY / "logs" / "rsyslog.conf")
    port, stored = elasticsearch
    heard = free_port()
    for old, new in {
        # Its own input is systemd's journal, which not every machine has
        r'module\(load="imjournal".*\)': f'global(workDirectory="{tmp_path}")\n'
        f'module(load="imtcp")\ninput(type="imtcp" address="127.0.0.1" port="{heard}")',
        r"https://elasticsearch\.example\.com:9200": f"http://127.0.0.1:{port}",
    }.items():
        ours, changed = re.subn(old, new, ours)
        assert changed == 1
    (tmp_path / "rsyslog.conf").write_text(ours)
    process = subprocess.Popen([rsyslogd, "-n", "-f", tmp_path / "rsyslog.conf", "-i", tmp_path / "pid"])
    try:
        with eventually(lambda: _connected(heard), within_s=20) as line:
            for message in ('{"event": "delivery.sent", "level": "info", "delivery": "dlv_1"}', "Fatal Python error"):
                line.sendall(f"<14>1 2026-11-30T05:00:00Z web-1 notifier 12 - - {message}\n".encode())
        eventually(lambda: len(stored) == 4, within_s=20)
    finally:
        process.terminate()
        process.wait(10)
    assert stored[0] == {"index": {"_index": "notifier-2026-11-30"}}
    assert stored[1].items() >= {"event": "delivery.sent", "delivery": "dlv_1", "host": "web-1"}.items()
    assert stored[3].items() >= {"event": "raw", "message": "Fatal Python error", "host": "web-1"}.items()


def _connected(port: int) -> socket.socket | None:
    try:
        return socket.create_connection(("127.0.0.1", port))
    except OSError:
        return None


def test_fluent_bits_file_is_yaml_with_known_parts() -> None:
    read = yaml.safe_load((DEPLOY / "logs" / "fluent-bit.yaml").read_text())
    tags = {one["tag"] for one in read["pipeline"]["inputs"]}
    parsers = {one["name"] for one in read["parsers"]}
    assert {one["match"] for one in [*read["pipeline"]["filters"], *read["pipeline"]["outputs"]]} == tags
    assert {one["parser"] for one in read["pipeline"]["filters"]} == parsers


def test_the_log_of_every_unit_is_passed_on() -> None:
    read = yaml.safe_load((DEPLOY / "logs" / "fluent-bit.yaml").read_text())
    named = {line.removeprefix("_SYSTEMD_UNIT=") for line in read["pipeline"]["inputs"][0]["systemd_filter"]}
    units = {unit.name for unit in (DEPLOY / "systemd").glob("*.service")}
    assert {re.sub(r"@\w+", "@", unit) for unit in named} == units
