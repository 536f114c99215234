"""Shapes of the run that encrypts and digests everything anew, and of the keys."""

from typing import Literal

from pydantic import Field

from notifier.api.fields import Body
from notifier.api.schemas.base import Answer


class ReencryptionIn(Body):
    new_digest_key: bool = Field(
        default=False,
        description="Makes a digest key first. The run begins a minute later, when all processes know it.",
    )


class RunOut(Answer):
    status: Literal["waiting", "running", "finished"]
    encryption_key: str = Field(description="The id of the key that everything is encrypted with.")
    digest_key: int = Field(description="The number of the key that everything is digested with.")
    round: int = Field(description="The last one finds nothing to do any more.")
    percent: int = Field(description="Of this round, about.")
    rows: int = Field(description="How many have been written anew.")
    unreadable: dict[str, int] = Field(description="Values by the id of the key that is missing.")
    is_idle: bool = Field(description="No scheduler works on it: none runs that has this key first.")
    started_at: str
    finished_at: str | None


class EncryptionKeyOut(Answer):
    id: str
    is_given: bool = Field(description="It is in `ENCRYPTION_KEYS`.")
    encrypts: bool = Field(description="It is the first there.")
    may_be_taken_out: bool = Field(description="Nothing is encrypted with it any more.")
    unused_since: str | None


class DigestKeyOut(Answer):
    number: int
    is_stored: bool = Field(description="What is stored now is digested with it.")
    is_left: bool = Field(description="Some that is stored may still be digested with it and with no later one.")
    since: str | None = Field(description="When it began to be used; null: with the installation.")


class ReencryptionOut(Answer):
    run: RunOut | None = Field(description="The last one; null: there has been none.")
    encryption_keys: list[EncryptionKeyOut]
    digest_keys: list[DigestKeyOut] = Field(description="The newest first.")
