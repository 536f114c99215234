"""Shapes of what the sandbox has captured."""

from typing import Any

from pydantic import Field

from notifier.api.schemas.base import Answer, Page


class CapturesQuery(Page):
    user: str | None = None
    channel: str | None = None


class CaptureOut(Answer):
    id: str
    delivery: str
    user: str
    test: bool = Field(description="Sent with a test key.")
    channel: str
    to: Any
    subject: str | None
    text: str | None
    html: str | None
    payload: Any
    headers: Any
    at: str


class CapturePage(Answer):
    data: list[CaptureOut]
    next: str | None
