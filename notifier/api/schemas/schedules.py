"""Shapes of recurring schedules."""

from typing import Annotated, Any

from pydantic import Field

from notifier.api.fields import (
    Body,
    Zone,
)
from notifier.api.schemas.base import Answer
from notifier.api.schemas.submissions import DryRunOut, RegionalPart, SubmissionIn


class ScheduleIn(Body):
    cron: Annotated[str, Field(min_length=1, max_length=120)] = Field(
        description="minute hour day month weekday", examples=["30 8 * * MON"]
    )
    time_zone: Zone = Field(default="UTC", description="In which it is read.")
    notification: SubmissionIn = Field(
        description="As for POST /notifications, without `send_at` and `idempotency_key`."
    )


class SchedulePatch(Body):
    paused: bool


class ScheduleRehearsedOut(DryRunOut):
    next_at: str = Field(description="When it would run first; that run is what is rehearsed.")


class ScheduleOut(Answer):
    id: str
    cron: str
    time_zone: str
    notification: dict[str, Any]
    next_at: str | None = Field(description="Null while it is paused, or stopped by `last_fault`.")
    last_submission: str | None
    last_fault: str | None
    created_at: str
    regions: list[RegionalPart] | None = Field(
        default=None, description="When it was made for people of several cells: each runs it for its own."
    )


class SchedulePage(Answer):
    data: list[ScheduleOut]
    next: str | None
