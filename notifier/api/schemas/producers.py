"""Shapes of the calling producer and its limits."""

from typing import Annotated

from pydantic import Field

from notifier.api.fields import Body
from notifier.api.schemas.base import Answer

Target = Annotated[str, Field(min_length=1, max_length=255, examples=["hooks.example.com", "203.0.113.0/24"])]


class ProducerPatch(Body):
    """What is left out stays as it is; null lifts a limit."""

    webhook_targets: Annotated[list[Target], Field(max_length=200)] | None = Field(
        default=None,
        description=(
            "Networks (CIDR) and hosts (`hooks.example.com`, `*.example.com`) that your people's webhooks, the URLs of "
            "their chats and your status webhooks may lead to; an empty list allows none."
        ),
    )


class ProducerOut(Answer):
    id: str
    name: str
    webhook_targets: list[str] | None
    installation_webhook_targets: list[str] | None = Field(
        description="The installation's own list (`WEBHOOK_TARGETS`); where both have one, both must name a target."
    )
