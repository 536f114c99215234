"""`notifier-client` for JavaScript, run by Node.js: against a served installation, and where none is needed."""

import json
import re
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pytest_flask.live_server import LiveServer

from notifier.api.schemas.submissions import BulkIn
from notifier.channels.wire import standard_webhooks
from notifier.ground.config import ROOT
from notifier.ground.extensions import db
from notifier.ground.version import VERSION
from notifier.models import Submission
from tests.running import free_port, installed
from tests.wire import AGAIN, CLOSED, FOREIGN, LOST, Wire

ON_ONE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True, scope="session")
PACKAGE = ROOT / "clients" / "javascript"
KEY = "ntf_live_0123456789abcdefghijklmnop"

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """`run("told.id = (await new Client({url, key}).send(…)).id", url=…, key=…)` → what it has told."""
    node = installed("node")

    def _run(program: str, **given: Any) -> dict[str, Any]:
        file = tmp_path / "program.mjs"
        file.write_text(
            f'import * as everything from "{(PACKAGE / "index.js").as_uri()}";\n'
            "const { Client, Inbox, Problem, Unreachable, BadSignature, verifyWebhook, VERSION } = everything;\n"
            f"const {{ {', '.join(given) or '_'} }} = {json.dumps(given)};\n"
            "const told = {};\n"
            "const refusal = (promise) => promise.then(() => null, (error) => error);\n"
            f"{program}\nconsole.log(JSON.stringify(told));\n"
        )
        done = subprocess.run([node, file], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout.splitlines()[-1]))

    return _run


@pytest.fixture
def wire(live_server: LiveServer, wire_to: Callable[[str], Wire]) -> Wire:
    return wire_to(live_server.url().rstrip("/"))


def submissions() -> int:
    db.session.rollback()
    return db.session.scalar(sa.select(sa.func.count(Submission.id))) or 0


@pytest.mark.slow
@ON_ONE
def test_a_day_with_it(run: Run, wire: Wire, producer_key: str, cast: dict[str, str]) -> None:
    told = run(
        """
        const notifier = new Client({ url, key });
        const people = ["alice", { id: "zoe", name: "Zoe" }];
        const like = { type: "like", recipients: people, data: { actor: "Bob" }, channels: ["inapp"] };
        const sent = await notifier.send(like);
        told.users = sent.notifications.map(({ user }) => user);
        told.status = (await notifier.wait(sent.id)).notifications[0].deliveries[0].status;
        told.type = (await notifier.notification(sent.notifications[0].id)).type;
        told.preview = (await notifier.preview({ ...like, recipients: ["alice"] }))[0].user;
        const later = { ...like, send_at: tomorrow };
        const first = await notifier.send(later, { idempotencyKey: "like-7" });
        told.again = (await notifier.send(later, { idempotencyKey: "like-7" })).id === first.id;
        told.late = (await refusal(notifier.wait(first.id, { timeoutMs: 0 }))).name;
        const waiting = first.notifications[0].id;
        told.cancelled = (await notifier.cancel(waiting)).deliveries.map(({ status }) => status);
        told.nothing = (await refusal(notifier.cancel(waiting))).code;
        told.listed = [];
        for await (const { user } of notifier.notifications({ user: "alice,zoe" })) told.listed.push(user);
        told.put = (await notifier.putUser("ann+b@c", { email: "ann@example.test" })).id;
        const { token } = await notifier.userToken("zoe");
        let asked = 0;
        const inbox = new Inbox({ url, token: async () => ((asked += 1) === 1 ? "old" : token) });
        const [page] = await Promise.all([inbox.list({ filter: "unread" }), inbox.list(), inbox.list()]);
        told.inbox = [page.unread, page.data[0].type, asked];
        told.read = (await inbox.read([page.data[0].id])).unread;
        told.seen = (await inbox.seen()).unseen;
        told.archived = (await inbox.archive({ all: true })).changed_ids.length;
        told.why = (await inbox.why(page.data[0].id)).sentences.length > 0;
        told.switches = (await inbox.preferences()).sections.length > 0;
        const items = [];
        for await (const item of inbox.items({ filter: "archived" })) items.push(item.id);
        told.items = items.length;
        told.refused = (await refusal(new Inbox({ url, token: "old" }).list())).status;
        """,
        url=wire.url,
        key=producer_key,
        tomorrow=(datetime.now(UTC) + timedelta(days=1)).isoformat(),
    )
    assert told == {
        "users": ["alice", "zoe"],
        "status": "delivered",
        "type": "like",
        "preview": "alice",
        "again": True,
        "late": "TimeoutError",
        "cancelled": ["cancelled"],
        "nothing": "nothing_to_cancel",
        "listed": ["zoe", "alice", "zoe", "alice"],
        "put": "ann+b@c",
        "inbox": [1, "like", 2],
        "read": 0,
        "seen": 0,
        "archived": 1,
        "why": True,
        "switches": True,
        "items": 1,
        "refused": 401,
    }


@pytest.mark.slow
@ON_ONE
def test_the_same_is_sent_once_whatever_breaks(run: Run, wire: Wire, producer_key: str, cast: dict[str, str]) -> None:
    wire.faults = [CLOSED, AGAIN, LOST, (429, {"Retry-After": "0"}), (502, {})]
    told = run(
        """
        const notifier = new Client({ url, key });
        const sent = await notifier.send({ type: "like", recipients: ["alice"], data: { actor: "Bob" } });
        told.user = sent.notifications[0].user;
        """,
        url=wire.url,
        key=producer_key,
    )
    assert told == {"user": "alice"}
    assert (len(wire.seen), submissions()) == (6, 1)
    assert len({headers["Idempotency-Key"] for _, _, headers, _ in wire.seen}) == 1


@pytest.mark.slow
@ON_ONE
def test_many_are_sent_in_as_few_calls_as_the_api_allows(
    run: Run, wire: Wire, producer_key: str, cast: dict[str, str]
) -> None:
    wire.faults = [LOST]
    told = run(
        """
        const item = (n) => ({ type: n === 3 ? "liek" : "like", recipients: ["alice"], data: { actor: `${n}` } });
        const results = await new Client({ url, key }).sendMany([0, 1, 2, 3, 4].map(item), { chunk: 2 });
        told.results = results.map(({ index, id }) => [index, id !== null]);
        told.error = [results[3].error.status, results[3].error.errors[0].pointer, results[3].error.suggestion];
        told.is = results[3].error instanceof Problem;
        """,
        url=wire.url,
        key=producer_key,
    )
    assert told["results"] == [[0, True], [1, True], [2, True], [3, False], [4, True]]
    assert (told["error"], told["is"]) == ([422, "/type", "like"], True)
    assert (len(wire.seen), submissions()) == (4, 4)
    seen = [headers["Idempotency-Key"] for _, _, headers, _ in wire.seen]
    assert (seen[0], len(set(seen))) == (seen[1], 3)


@pytest.mark.slow
@ON_ONE
def test_an_access_token_is_kept_and_got_again_when_it_is_refused(
    run: Run, wire: Wire, producer_key: str, cast: dict[str, str]
) -> None:
    wire.faults = [AGAIN]
    told = run(
        """
        const notifier = new Client({ url, clientId: key.slice(0, 16), clientSecret: key, scope: "notify read" });
        const like = (actor) => notifier.send({ type: "like", recipients: ["alice"], data: { actor } });
        const [one] = await Promise.all([like("Bob"), like("Carol"), like("Dave")]);
        told.id = one.id;
        const sale = { name: "x", type: "promotional_offer", audience: { all: true } };
        told.scope = (await refusal(notifier.broadcasts.create(sale))).code;
        told.wrong = (await refusal(new Client({ url, clientId: "x", clientSecret: "y" }).submission(one.id))).code;
        """,
        url=wire.url,
        key=producer_key,
    )
    assert (told["scope"], told["wrong"]) == ("scope_missing", "invalid_client")
    paths = [path for _, path, _, _ in wire.seen]
    assert paths[:2] == ["/oauth/token", "/oauth/token"]  # the first was answered with 503
    assert paths.count("/oauth/token") == 3
    wire.seen.clear()
    wire.faults = [None, (401, {}), None, None, (401, {}), None, (401, {})]
    told = run(
        """
        const notifier = new Client({ url, clientId: key.slice(0, 16), clientSecret: key });
        told.id = (await notifier.submission(id)).id;
        told.refused = (await refusal(notifier.submission(id))).status;
        """,
        url=wire.url,
        key=producer_key,
        id=told["id"],
    )
    assert told["refused"] == 401
    assert [path for _, path, _, _ in wire.seen].count("/oauth/token") == 3


@pytest.mark.slow
@ON_ONE
def test_broadcasts_lists_and_events(run: Run, wire: Wire, producer_key: str, cast: dict[str, str]) -> None:
    wire.faults = [LOST]
    told = run(
        """
        const notifier = new Client({ url, key });
        const sale = { name: "Sale", type: "promotional_offer", audience: { users: ["alice"] } };
        const { id, audience } = await notifier.broadcasts.create({ ...sale, data: { title: "Blue" } });
        told.audience = audience;
        told.paused = (await notifier.broadcasts.pause(id)).status;
        told.waited = (await notifier.broadcasts.wait(id)).status;
        await notifier.broadcasts.resume(id);
        told.cancelled = (await notifier.broadcasts.cancel(id)).status;
        told.ended = (await refusal(notifier.broadcasts.pause(id))).status;
        const all = async (list) => { const found = []; for await (const one of list) found.push(one); return found; };
        told.broadcasts = (await all(notifier.broadcasts.list())).length;
        told.recipients = await all(notifier.broadcasts.recipients(id, { status: "failed" }));
        const like = (actor) => ({ type: "like", recipients: ["alice"], data: { actor }, channels: ["inapp"] });
        await notifier.sendMany(["a", "b", "c"].map(like));
        told.pages = (await all(notifier.pages("/api/v1/notifications", { limit: 2 }))).length;
        const events = [];
        for await (const event of notifier.events({ types: "delivery.*", follow: true })) {
          if (events.push(event) === 3) break;
        }
        told.events = events.map(({ type }) => type);
        told.after = (await all(notifier.events({ after: events[2].cursor, types: "delivery.*" }))).length;
        const stop = AbortSignal.timeout(50);
        const endless = notifier.events({ after: events[2].cursor, follow: true, signal: stop });
        told.stopped = (await refusal(all(endless))).name;
        const wrong = await refusal(notifier.send({ type: "order_shiped", recipients: ["alice"] }));
        told.wrong = [wrong.name, wrong.status, wrong.code, wrong.suggestion, wrong.errors[0].pointer];
        """,
        url=wire.url,
        key=producer_key,
    )
    assert told == {
        "audience": 1,
        "paused": "paused",
        "waited": "paused",
        "cancelled": "cancelled",
        "ended": 409,
        "broadcasts": 1,
        "recipients": [],
        "pages": 3,
        "events": ["delivery.delivered"] * 3,
        "after": 0,
        "stopped": "TimeoutError",
        "wrong": ["Problem", 422, "unknown_type", "order_shipped", "/type"],
    }


@pytest.mark.slow
def test_it_waits_as_long_as_it_is_told_and_repeats_only_what_it_may(run: Run, wire_to: Callable[[None], Wire]) -> None:
    wire, other = wire_to(None), wire_to(None)
    date = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    wire.faults = [(307, {"Location": other.url}), (503, {"Retry-After": date})]
    wire.faults += [(429, {"Retry-After": "3600"}), (503, {"Retry-After": "1"}), None, (503, {}), CLOSED, AGAIN]
    began = time.monotonic()
    told = run(
        """
        const like = { type: "like", recipients: ["alice"] };
        const patient = new Client({ url, key });
        told.redirected = (await refusal(patient.send(like))).detail;
        const { retryAfter } = await refusal(patient.send(like));
        told.later = retryAfter > 60 && retryAfter <= 3600;
        const limited = await refusal(patient.send(like, { idempotencyKey: "mine" }));
        told.limited = [limited.status, limited.retryAfter, limited.idempotencyKey];
        told.waited = (await refusal(patient.send(like))).code;
        told.hurried = (await refusal(new Client({ url, key, patienceMs: 0 }).send(like))).status;
        const closed = await refusal(patient.broadcasts.retryFailed("brd_x"));
        told.closed = [closed.name, closed.idempotencyKey, closed instanceof Unreachable];
        told.busy = (await refusal(patient.broadcasts.retryFailed("brd_x"))).status;
        told.nobody = (await refusal(new Client({ url: nowhere, key, patienceMs: 0 }).send(like))).name;
        told.made = 0;
        const two = { url, clientId: "i", clientSecret: "s" };
        for (const wrong of [{ url: "notifier.example" }, { url: "https://u:p@notifier.example" }, two]) {
          try {
            new Client({ key, ...wrong });
            told.made += 1;
          } catch {}
        }
        const { inspect } = await import("node:util");
        const deep = (one) => inspect(one, { showHidden: true, depth: 9 });
        const oauth = new Client({ url, clientId: "id", clientSecret: key });
        told.secrets = [patient, oauth, limited, closed].map(deep).filter((text) => text.includes(key)).length;
        """,
        url=wire.url,
        key=KEY,
        nowhere=f"http://127.0.0.1:{free_port()}",
    )
    assert time.monotonic() - began >= 1
    assert told == {
        "redirected": f"redirected to {other.url}: give the client that address",
        "later": True,
        "limited": [429, 3600, "mine"],
        "waited": "http_404",
        "hurried": 503,
        "closed": ["Unreachable", None, True],
        "busy": 404,
        "nobody": "Unreachable",
        "made": 0,
        "secrets": 0,
    }
    assert len(wire.seen) == 9
    assert other.seen == []


def test_a_proxys_refusal_is_a_problem_whatever_it_says(run: Run, wire_to: Callable[[None], Wire]) -> None:
    wire = wire_to(None)
    wire.faults = [(400, {}, body) for body in FOREIGN]
    told = run(
        """
        const client = new Client({ url, key });
        const send = () => refusal(client.send({ type: "like", recipients: ["alice"] }));
        const shown = ({ name, code, suggestion }) => [name, code, suggestion];
        told.all = [await send(), await send(), await send()].map(shown);
        """,
        url=wire.url,
        key=KEY,
    )
    assert told == {"all": [["Problem", "http_400", None]] * 3}


def test_a_page_is_no_answer(run: Run, wire_to: Callable[[None], Wire]) -> None:
    wire = wire_to(None)
    wire.faults = [(200, {"Content-Type": "text/html"}, b"<!doctype html>"), (200, {}, b"hello")]
    told = run(
        """
        const client = new Client({ url, key });
        const send = () => refusal(client.send({ type: "like", recipients: ["alice"] }, { idempotencyKey: "mine" }));
        const shown = ({ name, message, idempotencyKey }) => [name, /it is not Notifier/.test(message), idempotencyKey];
        told.all = [await send(), await send()].map(shown);
        """,
        url=wire.url,
        key=KEY,
    )
    assert told == {"all": [["Unreachable", True, "mine"]] * 2}


def test_no_call_is_larger_than_the_api_takes(run: Run) -> None:
    told = run(
        """
        const { chunks, MOST_IN_BULK } = await import(`${client}`);
        const sizes = async (items, most) => {
          const found = [];
          for await (const part of chunks(items, most)) found.push(part.length);
          return found;
        };
        told.long = await sizes(Array(5).fill({ data: { actor: "ä".repeat(200_000) } }), 1_000);
        told.many = await sizes(Array(2_001).fill({ type: "like" }), 5_000);
        told.none = await sizes([], 1_000);
        told.most = MOST_IN_BULK;
        """,
        client=(PACKAGE / "client.js").as_uri(),
    )
    most = BulkIn.model_json_schema()["properties"]["notifications"]["maxItems"]
    assert told == {"long": [2, 2, 1], "many": [1_000, 1_000, 1], "none": [], "most": most}


def test_webhooks_of_the_product_are_verified_and_others_refused(run: Run) -> None:
    secret, body = standard_webhooks.new_secret(), '{"type":"delivery.sent","data":{"user":"jörg"}}'

    def signed(by: str = secret, text: str = body, minutes: int = 0) -> dict[str, str]:
        return standard_webhooks.headers("evt_1", text, [by], datetime.now(UTC) - timedelta(minutes=minutes))

    good = signed()
    bad: list[tuple[str, dict[str, str]]] = [
        (body.replace("jörg", "ann"), good),
        (body, signed(by=standard_webhooks.new_secret())),
        (body, signed(minutes=6)),
        (body, signed(minutes=-60)),
        (body, {}),
        (body, {**good, "webhook-signature": "nonsense v1, v1,%"}),
        (body, {**good, "webhook-timestamp": "soon"}),
        ("[]", signed(text="[]")),
    ]
    told = run(
        """
        const bytes = new TextEncoder().encode(body);
        const shapes = [[body, good], [bytes, new Headers(good)], [bytes.buffer, good], [Buffer.from(bytes), rotated]];
        told.good = [];
        for (const [given, headers] of shapes) told.good.push((await verifyWebhook(secret, given, headers)).data.user);
        const refused = await Promise.all(bad.map((one) => refusal(verifyWebhook(secret, ...one))));
        told.bad = refused.map((error) => error instanceof BadSignature);
        told.secret = (await refusal(verifyWebhook("whsec_", body, good))).name;
        delete globalThis.crypto; // as in Node.js 18
        told.old = (await verifyWebhook(secret, body, good)).data.user;
        """,
        secret=secret,
        body=body,
        good=good,
        rotated={**good, "webhook-signature": f"v1,{'A' * 43}= {good['webhook-signature']}"},
        bad=bad,
    )
    assert told == {"good": ["jörg"] * 4, "bad": [True] * len(bad), "secret": "BadSignature", "old": "jörg"}


def test_its_version_is_that_of_the_product_and_its_types_name_what_is_there(run: Run) -> None:
    told = run(
        """
        told.version = VERSION;
        told.names = Object.keys(everything);
        const { broadcasts } = new Client({ url: "http://x", key: "k" });
        const methods = (made) => Object.getOwnPropertyNames(made).filter((name) => name !== "constructor");
        told.Client = [...methods(Client.prototype), "broadcasts"];
        told.Inbox = methods(Inbox.prototype);
        told.Broadcasts = methods(Object.getPrototypeOf(broadcasts));
        told.Calls = methods(Object.getPrototypeOf(Inbox.prototype));
        """
    )
    types = (PACKAGE / "index.d.ts").read_text()
    assert told.pop("version") == json.loads((PACKAGE / "package.json").read_text())["version"] == VERSION
    exported = re.findall(r"^export (?:class|const|function) (\w+)", types, re.MULTILINE)
    assert sorted(told.pop("names")) == sorted(exported)
    for name, there in told.items():
        [body] = re.findall(rf"class {name} (?:extends \w+ )?{{\n(.*?)^}}", types, re.MULTILINE | re.DOTALL)
        declared = re.findall(r"^  (?:readonly )?(\w+)(?:<[^>]+>)?[(:]", body, re.MULTILINE)
        assert sorted(declared) == sorted([*there, *(["constructor"] if "constructor(" in body else [])]), name


@pytest.mark.slow
@ON_ONE
def test_the_readme_says_how_it_works(
    run: Run, live_server: LiveServer, producer_key: str, cast: dict[str, str]
) -> None:
    """Its snippets run, one after another, in one program."""
    text = (PACKAGE / "README.md").read_text()
    snippets = re.findall(r"^```js\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(snippets) >= 5
    program = "\n".join(re.sub(r"^import .* from .*;$", "", snippet, flags=re.MULTILINE) for snippet in snippets)
    secret, body = standard_webhooks.new_secret(), '{"type":"delivery.sent","data":{}}'
    token = "const fetchToken = async () => (await new Client({ url: URL, key: KEY }).userToken('alice')).token;\n"
    told = run(
        token + program,
        URL=live_server.url(),
        KEY=producer_key,
        SECRET=secret,
        body=body,
        headers=standard_webhooks.headers("evt_1", body, [secret], datetime.now(UTC)),
    )
    assert told == {}
