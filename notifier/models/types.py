"""Column types shared by all models: aware UTC times, JSON, and encrypted text and JSON."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, DateTime, Dialect, LargeBinary, Table
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeDecorator, TypeEngine

from notifier.core.json_values import is_same
from notifier.ground.encryption import vault
from notifier.ground.fast_json import decoded, encoded

STORED_USER_ID = 129  # characters: an id of a producer's, and the mark of the test world (`core.worlds`)


class _JSON(JSON):
    """A row that is given another value is written again where only JSON tells the two apart."""

    def compare_values(self, x: Any, y: Any) -> bool:
        return is_same(x, y)


PlainJSON = _JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC in Python on both databases. A naive time is a bug and is refused."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone must not reach the database")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class KeyedDigest(LargeBinary):
    """What `vault.newest` gives. It gets a new key by `operations.reencryption`, which finds it by this type."""

    __visit_name__ = "large_binary"


class EncryptedText(TypeDecorator[str]):
    """Text that is ciphertext in the database. `purpose` is `table.column`."""

    impl: TypeEngine[Any] | type[TypeEngine[Any]] = LargeBinary
    cache_ok = True

    def __init__(self, purpose: str) -> None:
        super().__init__()
        self.purpose = purpose

    def process_bind_param(self, value: str | None, dialect: Dialect) -> bytes | None:
        return None if value is None else vault.encrypt(value.encode(), self.purpose)

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> str | None:
        return None if value is None else vault.decrypt(bytes(value), self.purpose).decode()


class EncryptedJSON(TypeDecorator[Any]):
    """A JSON value that is ciphertext in the database."""

    impl = LargeBinary
    cache_ok = True

    def __init__(self, purpose: str) -> None:
        super().__init__()
        self.purpose = purpose

    def compare_values(self, x: Any, y: Any) -> bool:
        return is_same(x, y)

    def process_bind_param(self, value: Any, dialect: Dialect) -> bytes | None:
        return None if value is None else vault.encrypt(encoded(value), self.purpose)

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> Any:
        return None if value is None else decoded(vault.decrypt(bytes(value), self.purpose))


def digests_of(table: Table) -> list[str]:
    """The table's columns of keyed digests."""
    return [column.name for column in table.columns if isinstance(column.type, KeyedDigest)]


def purposes_of(table: Table) -> dict[str, str]:
    """The table's encrypted columns → their purposes."""
    return {
        column.name: column.type.purpose
        for column in table.columns
        if isinstance(column.type, EncryptedText | EncryptedJSON)
    }
