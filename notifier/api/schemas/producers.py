"""Shapes of the calling producer and its limits."""

from typing import Annotated

from pydantic import Field

from notifier.api.fields import Body
from notifier.api.schemas.base import Answer

Country = Annotated[str, Field(min_length=2, max_length=3, examples=["DE"])]
Money = Annotated[str, Field(min_length=1, max_length=24, examples=["12.50"])]
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

    phone_countries: Annotated[list[Country], Field(max_length=300)] | None = Field(
        default=None,
        description="Whose phones may be reached, where the installation allows it too (`PHONE_COUNTRIES`).",
    )
    daily_spend: Money | None = Field(
        default=None,
        description="What may be spent on SMS, calls and WhatsApp in a day (UTC), instead of the installation's "
        "`SPEND_LIMIT`. A key may only lower it.",
    )


class SpendOut(Answer):
    day: str = Field(description="In UTC.")
    amount: str = Field(description="What has been spent, with what is on its way.")
    limit: str | None = Field(description="What may be spent, with what was added for today; null: any amount.")
    currency: str | None


class ProducerOut(Answer):
    id: str
    name: str
    phone_countries: list[str] | None
    installation_phone_countries: list[str] | None
    daily_spend: str | None
    spend_today: SpendOut
    webhook_targets: list[str] | None
    installation_webhook_targets: list[str] | None = Field(
        description="The installation's own list (`WEBHOOK_TARGETS`); where both have one, both must name a target."
    )
