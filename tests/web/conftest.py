"""Visitors of the pages, who behave as browsers do: cookies kept, forms sent with a CSRF token of their session."""

import contextlib
import contextvars
import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from apiflask import APIFlask
from flask import session
from flask_wtf.csrf import generate_csrf
from rq import SimpleWorker
from sqlalchemy import event, select, update
from werkzeug.test import TestResponse

from notifier import jobs
from notifier.access import accounts, keys, sessions
from notifier.core.submission import InlineRecipient, Submission
from notifier.ground.database import transaction
from notifier.ground.extensions import db, redis_store
from notifier.models import Account, Delivery
from notifier.pipeline.intake.accept import accept
from notifier.pipeline.intake.item import Accepted, Caller, Item
from notifier.signals.queueing import SERIALIZER, all_queues, queue
from notifier.web.person import login

PASSWORD = "correct horse battery staple"
_WHITESPACE = re.compile(r"(<(?P<kept>pre|textarea)\b.*?</(?P=kept)>)|[ \t\r\n]{2,}|[\t\r\n]", re.DOTALL)


def seen_in(page: str) -> str:
    """The revision of what the page shows, as its form sends it along."""
    [found] = re.findall(r'<input[^>]* name="seen"[^>]* value="([^"]+)"', page)
    return str(found)


class Visitor:
    """One browser. Each request runs in a context of its own, as on a server: nothing carries over but cookies."""

    def __init__(self, app: APIFlask) -> None:
        self.client = app.test_client()
        self.tokens: dict[str, str] = {}

    def get(self, path: str, **options: Any) -> TestResponse:
        return self._open("GET", path, **options)

    def post(self, path: str, form: Any = None, *, token: bool = True, **options: Any) -> TestResponse:
        """With the CSRF token of this browser's session, unless `token` is False."""
        data: dict[str, Any] = dict(form or {})
        if token:
            data["csrf_token"] = self.csrf_token()
        return self._open("POST", path, data=data, **options)

    def csrf_token(self) -> str:
        """As a form of this browser's session would have it: it is good for all of them until the session is another,
        and no page is asked for it.
        """
        with self.client.session_transaction() as cookie:
            secret = cookie.get("csrf_token")
        if secret is None or secret not in self.tokens:
            token = contextvars.Context().run(self._in_session, generate_csrf)
            with self.client.session_transaction() as cookie:
                secret = cookie["csrf_token"]
            self.tokens[secret] = token
        return self.tokens[secret]

    def enter(self, account: Account, way: str = sessions.PASSWORD) -> None:
        """Signed in as by the form, which takes its time on purpose."""
        self._in_session(lambda: login.enter(account, way))

    def _in_session(self, act: Callable[[], Any]) -> Any:
        """What `act` does to the session of a request is kept by this browser."""
        with self.client.session_transaction() as cookie:
            before = dict(cookie)
        with self.client.application.test_request_context(environ_base=self.client.environ_base):
            session.update(before)
            result = act()
            kept = dict(session)
        with self.client.session_transaction() as cookie:
            cookie.update(kept)
        return result

    def sign_in(self, email: str, password: str = PASSWORD, **form: str) -> TestResponse:
        return self.post("/login", {"email": email, "password": password, **form})

    def _open(self, method: str, path: str, **options: Any) -> TestResponse:
        # Buffered: an answer in pieces is made in the context of its request
        answer = contextvars.Context().run(self.client.open, path, method=method, buffered=True, **options)
        if answer.mimetype == "text/html":  # read as a browser reads it: where a template breaks its lines says nothing
            answer.set_data(_WHITESPACE.sub(lambda found: found[1] or " ", answer.get_data(as_text=True)))
        return answer


@functools.cache
def _password_hash() -> str:
    return accounts.hash_password(PASSWORD)


@pytest.fixture
def visitor(app: APIFlask) -> Visitor:
    """Somebody who is not signed in."""
    return Visitor(app)


@pytest.fixture
def signed_in(app: APIFlask) -> Callable[..., Visitor]:
    """`signed_in("operator")` → a browser signed in to a new account of that role, with a user of the same name."""

    def _signed_in(role: str = "person", user_id: str | None = None) -> Visitor:
        user_id = user_id or role
        account = accounts.create_account(f"{user_id}@example.test", None, role, user_id)
        with transaction() as writing:
            writing.execute(update(Account).where(Account.id == account.id).values(password_hash=_password_hash()))
        visitor = Visitor(app)
        contextvars.Context().run(visitor.enter, account)
        return visitor

    return _signed_in


@pytest.fixture
def work(app: APIFlask, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """`work()`: a worker sends what is queued."""
    monkeypatch.setattr(jobs, "app", lambda: app)
    worker = SimpleWorker(all_queues(), connection=redis_store.client, serializer=SERIALIZER)

    def _work() -> None:
        for name in all_queues():
            waiting = queue(name)
            for job_id in waiting.job_ids:
                waiting.remove(job_id)
                worker.execute_job(waiting.fetch_job(job_id), waiting)
        db.session.close()

    return _work


@pytest.fixture
def send(app: APIFlask, work: Callable[[], None]) -> Callable[..., list[Delivery]]:
    """`send("zoe", email="rejected@sandbox.test", channels=("email",))`: accepted and worked off. → its deliveries."""
    producer = keys.create_producer("Shop")
    caller = Caller(
        producer.id, is_test=False, may_be_urgent=True, types=None, request_id="test", may_change_people=True
    )

    def _send(
        user_id: str,
        *,
        type: str = "order_shipped",
        data: dict[str, Any] | None = None,
        channels: tuple[str, ...] | None = None,
        is_test: bool = False,
        **profile: str,
    ) -> Any:
        submission = Submission(
            type=type,
            recipients=(InlineRecipient(user_id, profile),),
            data=data or {"order_id": "A1"},
            channels=channels,
        )
        [result] = accept([Item(replace(caller, is_test=is_test), submission)])
        assert isinstance(result, Accepted)
        work()
        return list(db.session.scalars(select(Delivery).order_by(Delivery.id)))

    return _send


class Counted:
    """The statements that reached the database."""

    def __init__(self) -> None:
        self.statements: list[str] = []

    @property
    def total(self) -> int:
        return len(self.statements)


@pytest.fixture
def count_queries(app: APIFlask) -> Callable[[], "contextlib.AbstractContextManager[Counted]"]:
    """`with count_queries() as counted:` … `counted.total`."""

    @contextlib.contextmanager
    def _count() -> Iterator[Counted]:
        counted = Counted()

        def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            counted.statements.append(statement)

        event.listen(db.engine, "before_cursor_execute", note)
        yield counted
        event.remove(db.engine, "before_cursor_execute", note)

    return _count
