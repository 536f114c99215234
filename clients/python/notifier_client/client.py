"""`Client`: sending, and asking what became of it."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Unpack, cast
from urllib.parse import parse_qs, urlsplit

import urllib3

from notifier_client.broadcasts import Broadcasts
from notifier_client.calls import Calls, ask_until, new_key, segment
from notifier_client.errors import NotifierError, Problem
from notifier_client.shapes import (
    Accepted,
    Event,
    Notification,
    NotificationInFull,
    Options,
    Recipient,
    Rehearsed,
    Submission,
    SubmissionStatus,
    UserToken,
)
from notifier_client.transport import Transport, encoded

MOST_IN_BULK = 1_000  # items of a call, as the OpenAPI document says
MOST_BYTES = 1 << 20  # of a body
_UNDER_WAY = ("waiting", "queued", "sending")

Recipients = str | int | Recipient | Sequence[str | int | Recipient]


@dataclass(frozen=True, slots=True)
class BulkResult:
    """What became of one item: an id and its notifications' (None while they are made in the background), or an error,
    whose pointers lead into the item.
    """

    index: int
    id: str | None = None
    notifications: list[str] | None = None
    error: Problem | None = None


class Client(Calls):
    """`Client("https://notifier.example", key="ntf_live_…")`; may be shared by threads.

    Instead of `key`: `client_id`, `client_secret` and, for fewer rights, `scope`; then an access token is got, kept and
    renewed (OAuth 2). A try may take `timeout_s`; a call is tried again after 429, 503 and broken connections until
    `patience_s` have passed. `pool`: a PoolManager of urllib3, for a proxy or a certificate authority of your own.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        client_id: str | None = None,
        client_secret: str | None = None,
        scope: str | None = None,
        timeout_s: float = 30.0,
        patience_s: float = 90.0,
        pool: urllib3.PoolManager | None = None,
    ) -> None:
        transport = Transport(
            url,
            key=key,
            client_id=client_id,
            client_secret=client_secret,
            scope=scope,
            timeout_s=timeout_s,
            patience_s=patience_s,
            pool=pool,
        )
        super().__init__(transport)
        self.broadcasts = Broadcasts(transport)

    def __repr__(self) -> str:
        return f"<Client {self._transport.base}>"

    def send(
        self,
        type: str,
        recipients: Recipients,
        data: Mapping[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
        **options: Unpack[Options],
    ) -> Accepted:
        """Notifies up to 1,000 people of one event. `recipients`: ids, or objects such as
        `{"id": "ann", "email": "ann@example.test"}`.

        Without `idempotency_key` it gets one, so that its own tries store it once. Raises Problem or Unreachable.
        """
        body = {"type": type, "recipients": _listed(recipients), "data": data or {}, **options}
        made = self.call("POST", "/api/v1/notifications", body, idempotency_key=idempotency_key or new_key())
        return cast("Accepted", made)

    def preview(
        self,
        type: str,
        recipients: Recipients,
        data: Mapping[str, Any] | None = None,
        **options: Unpack[Options],
    ) -> list[Rehearsed]:
        """What `send` would do, and why, for up to 100 people. Nothing is stored or sent."""
        body = {"type": type, "recipients": _listed(recipients), "data": data or {}, **options}
        answer = self.call("POST", "/api/v1/notifications", body, query={"dry_run": "true"}, repeatable=True)
        return cast("list[Rehearsed]", answer["notifications"])

    def send_many(
        self, items: Iterable[Submission], *, idempotency_key: str | None = None, chunk: int = MOST_IN_BULK
    ) -> list[BulkResult]:
        """Sends any number of events in as few calls as the API allows. A bad item affects no other.

        `chunk`: items of a call at most, for keys whose rate limit is lower. If one of the calls fails, those before it
        are carried out: do it again with the same items and the exception's `idempotency_key`.
        """
        key = idempotency_key or new_key()
        results: list[BulkResult] = []
        try:
            for number, part in enumerate(_chunks(items, chunk)):
                body = b'{"notifications":[' + b",".join(part) + b"]}"
                answer = self._transport.call(
                    "POST", "/api/v1/notifications/bulk", body=body, once=f"{key}:{number}"
                ).json()
                results += [_result(one, len(results)) for one in answer["results"]]
        except NotifierError as error:
            error.idempotency_key = key
            raise
        return results

    def notification(self, id: str) -> NotificationInFull:
        """With its deliveries, attempts, receipts, and why it was decided so (scope `read`)."""
        return cast("NotificationInFull", self.call("GET", f"/api/v1/notifications/{segment(id)}"))

    def notifications(
        self,
        *,
        user: str | None = None,
        type: str | None = None,
        status: str | None = None,
        channel: str | None = None,
    ) -> Iterator[Notification]:
        """All, newest first. Filters take several values separated by commas."""
        return self.pages("/api/v1/notifications", user=user, type=type, status=status, channel=channel, limit=200)

    def cancel(self, id: str) -> NotificationInFull:
        """What of a notification has not gone out. Raises Conflict where nothing is left."""
        return cast("NotificationInFull", self.call("POST", f"/api/v1/notifications/{segment(id)}/cancel"))

    def submission(self, id: str) -> SubmissionStatus:
        return cast("SubmissionStatus", self.call("GET", f"/api/v1/submissions/{segment(id)}"))

    def wait(self, id: str, *, timeout_s: float = 60.0) -> SubmissionStatus:
        """Until all of a submission has gone out, or will not. Raises TimeoutError: quiet hours can take long."""
        return ask_until(lambda: self.submission(id), _is_over, timeout_s)

    def events(
        self, after: str | None = None, *, types: str | None = None, wait_s: int = 0, follow: bool = False
    ) -> Iterator[Event]:
        """What became of messages, oldest first, from the cursor `after` on. `types`: such as `delivery.*`.

        `follow` goes on for ever; then each call waits up to 20 seconds for the next, or `wait_s` (at most 30).
        """
        wait_s = wait_s or (20 if follow else 0)
        while True:
            answer = self._transport.call(
                "GET",
                "/api/v1/events",
                query={"after": after, "types": types, "limit": 1_000},
                headers={"Accept": "application/x-ndjson", **({"Prefer": f"wait={wait_s}"} if wait_s else {})},
                longest_wait_s=wait_s,
            )
            found = [cast("Event", json.loads(line)) for line in answer.data.splitlines()]
            yield from found
            following = _next_after(answer)
            if not follow and following in (None, after):
                return
            after = following or after

    def put_user(self, id: str, **fields: Any) -> dict[str, Any]:
        """Creates a person, or replaces the whole profile: what is left out is cleared. `email`, `phone`, `name`,
        `locale`, `time_zone`, `attributes` (scope `users`).
        """
        return cast("dict[str, Any]", self.call("PUT", f"/api/v1/users/{segment(id)}", fields))

    def user_token(self, id: str, *, expires_in: int = 3600) -> UserToken:
        """A token with which a page shows this person's inbox (docs/embedding.md; scope `users`)."""
        body = {"expires_in": expires_in}
        return cast("UserToken", self.call("POST", f"/api/v1/users/{segment(id)}/token", body, repeatable=True))


def _listed(recipients: Recipients) -> list[Any]:
    return [recipients] if isinstance(recipients, str | int | Mapping) else list(recipients)


def _chunks(items: Iterable[Submission], most: int) -> Iterator[list[bytes]]:
    """The items as JSON, so many as one call takes: the same ones each time, since its idempotency key counts them."""
    part: list[bytes] = []
    size = 0
    for item in items:
        text = encoded(item)
        if part and (len(part) >= min(most, MOST_IN_BULK) or size + len(text) + 64 > MOST_BYTES):
            yield part
            part, size = [], 0
        part.append(text)
        size += len(text) + 1
    if part:
        yield part


def _result(one: Mapping[str, Any], before: int) -> BulkResult:
    error = one.get("error")
    problem = error and Problem.of(error["status"], error, at=f"/notifications/{one['index']}")
    return BulkResult(before + one["index"], one.get("id"), one.get("notifications"), problem)


def _is_over(submission: SubmissionStatus) -> bool:
    made = submission["notifications"]
    return (
        made is not None
        and submission["status"] != "expanding"
        and all(delivery["status"] not in _UNDER_WAY for one in made for delivery in one["deliveries"])
    )


def _next_after(answer: urllib3.BaseHTTPResponse) -> str | None:
    """From the `Link` header, which leads on even where nothing was found."""
    target = answer.headers.get("Link", "").partition(">")[0].removeprefix("<")
    return next(iter(parse_qs(urlsplit(target).query).get("after", ())), None)
