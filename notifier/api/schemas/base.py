"""What several of the nouns' shapes have in common."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from notifier.api.fields import Body

PRIORITY = Literal["urgent", "high", "medium", "low"]
CATEGORY = Literal["transactional", "marketing", "social", "system"]
LANGUAGE = Annotated[str, Field(max_length=35, pattern=r"^[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8})*$")]  # as BCP 47 has it
ROUTING = Literal["all", "first", "escalate", "best"]
EscalateAfter = Annotated[int, Field(ge=10, le=86_400)]


class Answer(BaseModel):
    """Base of all answers. Clients must be ready for further fields."""

    model_config = ConfigDict(extra="allow")


def whole(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 6 else value


class Page(Body):
    after: Annotated[str, Field(max_length=200, pattern=r"^[A-Za-z0-9_-]+$")] | None = Field(
        default=None, description="`next` of the page before."
    )
    limit: Annotated[int, BeforeValidator(whole), Field(ge=1, le=200)] = 50


class HealthOut(Answer):
    status: str


class ReadinessOut(Answer):
    status: Literal["ok", "degraded", "unavailable"]
    database: str
    redis: str
    workers: int
    schedulers: int
