"""Amazon SQS. A message that is taken is hidden from others for a minute (`idle`), and longer while it has to wait.

Imported only where CONSUME_URL names it: botocore is an extra (`requirements-sqs.txt`). It finds credentials where
Amazon's own programs do: the environment, a file, the machine's or the pod's role.
"""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import structlog
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from botocore.session import get_session

from notifier.bus.source import MOST_BYTES, Away, at_ms, headers_of, size_left_out
from notifier.core.bus_messages import DeadLetter, Message
from notifier.ground.bus_urls import SqsBus
from notifier.ground.config import NotReady

_A_CALL = 10  # messages, as Amazon allows
_CALLS = 10  # at once
_PARTS_OF_IDLE = 4  # how often within `idle` they are hidden again
_LARGEST_LETTER = 900_000  # of 1 MiB, headers included
_NO_ROOM = {"sqs_InvalidParameterValue", "sqs_InvalidParameterValueException"}  # a queue may take less than Amazon
_LAG_KEPT_S = 10.0
_MISSING = {"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"}

log = structlog.get_logger()


class SqsSource:
    """A `Source`. Within a group of a FIFO queue messages keep their order; other queues have none."""

    def __init__(self, target: SqsBus) -> None:
        self._target = target
        self._client: Any = None
        self._urls: dict[str, str] = {}
        self._threads: ThreadPoolExecutor | None = None
        self._in_hand: dict[str, Message] = {}  # by receipt
        self._hide_again_at = 0.0
        self._lag: tuple[float, int] | None = None

    def look(self) -> None:
        target = self._target
        self.close()
        try:
            self._client = get_session().create_client(
                "sqs",
                region_name=target.region,
                endpoint_url=target.endpoint,
                config=Config(
                    max_pool_connections=_CALLS, retries={"max_attempts": 2}, connect_timeout=5, read_timeout=20
                ),
            )
            found = self._url_of(target.queue)
            if found is None:
                raise NotReady(f"There is no queue {target.queue!r} in {target.region}: create it, or correct the URL.")
        except NoCredentialsError:
            raise NotReady(
                f"{target.shown} needs credentials of Amazon's: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a role."
            ) from None
        self._urls["queue"] = found

    def open(self) -> None:
        self.look()
        self._urls["dead"] = self._url_of(self._target.dead) or self._create(self._target.dead)
        self._threads = ThreadPoolExecutor(_CALLS, "sqs")

    def _url_of(self, queue: str) -> str | None:
        try:
            return str(self._client.get_queue_url(QueueName=queue)["QueueUrl"])
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in _MISSING:
                return None
            if "Denied" in code or "Invalid" in code or "Unrecognized" in code:
                raise NotReady(
                    f"{self._target.shown} does not let us in ({code}): correct the credentials, or what they may do."
                ) from None
            raise Away(f"sqs_{code}") from None
        except NoCredentialsError:
            raise
        except BotoCoreError as error:
            raise Away(f"sqs_{type(error).__name__}") from None

    def _create(self, queue: str) -> str:
        attributes = {"MessageRetentionPeriod": "1209600"} | ({"FifoQueue": "true"} if self._target.is_fifo else {})
        try:
            return str(self._client.create_queue(QueueName=queue, Attributes=attributes)["QueueUrl"])
        except ClientError as error:
            raise NotReady(
                f"The queue {queue!r}, for messages that cannot be accepted, is missing in {self._target.region} and "
                f"cannot be created ({error.response['Error']['Code']}): create it."
            ) from None
        except BotoCoreError as error:
            raise Away(f"sqs_{type(error).__name__}") from None

    def take(self, most: int, idle_s: float, more_s: float) -> list[Message]:
        """One call that waits; when it comes back full, several at once, until there is no more."""
        self._opened()
        found = self._receive(int(max(1, idle_s)) if idle_s else 0)
        ends_at = time.monotonic() + more_s
        if not self._in_hand:
            self._hide_again_at = ends_at + self._target.idle_s / _PARTS_OF_IDLE
        is_full = len(found) == _A_CALL
        while is_full and len(found) + _CALLS * _A_CALL <= most and sum(len(one.body) for one in found) < MOST_BYTES:
            assert self._threads is not None
            rounds = list(self._threads.map(self._receive, [0] * _CALLS))
            found += [message for came in rounds for message in came]
            is_full = any(len(came) == _A_CALL for came in rounds) and time.monotonic() < ends_at
        self._in_hand |= {message.handle: message for message in found}
        return found

    def _receive(self, wait_s: int) -> list[Message]:
        answer = self._ask(
            "receive_message",
            QueueUrl=self._urls["queue"],
            MaxNumberOfMessages=_A_CALL,
            WaitTimeSeconds=wait_s,
            VisibilityTimeout=self._target.idle_s,
            MessageSystemAttributeNames=["SentTimestamp", "MessageGroupId"],
        )
        queue = self._target.queue
        return [
            Message(
                one["Body"].encode(),
                queue,
                one.get("Attributes", {}).get("MessageGroupId", ""),
                one["MessageId"],
                f"sqs:{queue}/{one['MessageId']}",
                _sent_at(one),
                handle=one["ReceiptHandle"],
            )
            for one in answer.get("Messages", ())
        ]

    def keep(self) -> None:
        self._opened()
        if time.monotonic() < self._hide_again_at:
            return
        self._hide_again_at = time.monotonic() + self._target.idle_s / _PARTS_OF_IDLE
        for part in _calls(list(self._in_hand.values())):
            entries = [{**one, "VisibilityTimeout": self._target.idle_s} for one in _entries(part)]
            self._ask("change_message_visibility_batch", QueueUrl=self._urls["queue"], Entries=entries)

    def still_ours(self, messages: Sequence[Message]) -> list[Message]:
        """Nobody says so. Somebody else may have it when we could not reach Amazon; its key absorbs that."""
        return list(messages)

    def bury(self, letters: Sequence[DeadLetter]) -> None:
        self._opened()
        for letter in letters:
            is_whole = len(letter.message.body) <= _LARGEST_LETTER
            try:
                self._send(letter, with_body=is_whole)
            except Away as error:
                if error.code.removeprefix("sqs_") in _MISSING:
                    self.close()  # who connects anew makes it
                if not is_whole or error.code not in _NO_ROOM:
                    raise
                self._send(letter, with_body=False)

    def _send(self, letter: DeadLetter, *, with_body: bool) -> None:
        message = letter.message
        body, headers = message.body.decode(), headers_of(letter)
        if not with_body:
            body, headers = "{}", headers | size_left_out(message)
        place = {"MessageGroupId": message.partition or "notifier", "MessageDeduplicationId": message.offset}
        self._ask(
            "send_message",
            QueueUrl=self._urls["dead"],
            MessageBody=body,
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value} for name, value in headers.items() if value
            },
            **(place if self._target.is_fifo else {}),
        )

    def acknowledge(self, messages: Sequence[Message]) -> None:
        self._opened()
        assert self._threads is not None
        for answer in self._threads.map(self._delete, _calls(messages)):
            if failed := answer.get("Failed"):
                log.warning("consume.not_acknowledged", bus=self._target.name, code=failed[0].get("Code"))
        for message in messages:
            self._in_hand.pop(message.handle, None)

    def _delete(self, messages: Sequence[Message]) -> Any:
        return self._ask("delete_message_batch", QueueUrl=self._urls["queue"], Entries=_entries(messages))

    def lag(self) -> int | None:
        if self._client is None:
            return None
        if self._lag is None or time.monotonic() >= self._lag[0] + _LAG_KEPT_S:
            name = "ApproximateNumberOfMessages"
            answer = self._ask("get_queue_attributes", QueueUrl=self._urls["queue"], AttributeNames=[name])
            self._lag = time.monotonic(), int(answer["Attributes"][name])
        return self._lag[1]

    def close(self) -> None:
        if self._threads is not None:
            self._threads.shutdown()
            self._threads = None
        if self._client is not None:
            self._client.close()
            self._client = None

    def _opened(self) -> None:
        if self._threads is None:
            self.open()

    def _ask(self, call: str, **arguments: Any) -> Any:
        try:
            return getattr(self._client, call)(**arguments)
        except ClientError as error:
            raise Away(f"sqs_{error.response['Error']['Code']}") from None
        except BotoCoreError as error:
            raise Away(f"sqs_{type(error).__name__}") from None


def _calls(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    return (messages[at : at + _A_CALL] for at in range(0, len(messages), _A_CALL))


def _entries(messages: Sequence[Message]) -> list[dict[str, str]]:
    return [{"Id": str(number), "ReceiptHandle": one.handle} for number, one in enumerate(messages)]


def _sent_at(found: dict[str, Any]) -> datetime | None:
    sent = found.get("Attributes", {}).get("SentTimestamp")
    return at_ms(float(sent)) if sent else None
