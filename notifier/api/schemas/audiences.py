"""Shapes of audiences, of what a preview says about one, and of uploaded lists."""

from typing import Annotated, Any, Literal

from pydantic import Field

from notifier.api.fields import Body
from notifier.api.schemas.base import Answer
from notifier.core.audience import MOST_USERS

_CONDITION = (
    "`{field: value}`, `{field: {operator: value}}`, `{all: […]}`, `{any: […]}` or `{not: …}`. Fields: `attributes.*`, "
    "`locale`, `time_zone`, `created_at`, `home_region`; `email` and `phone` (`exists` only). Operators: `eq`, `ne`, "
    "`in`, `gt`, `gte`, `lt`, `lte`, `exists`, `contains`. A value that is missing, null or of another type meets none "
    'of them but `{"exists": false}`; `not` takes those people in.'
)
# `core.audience` reads it, and says what is wrong
AudienceIn = Annotated[
    Any,
    Field(
        description="Exactly one of these.",
        examples=[{"where": {"attributes.plan": "pro"}}],
        json_schema_extra={
            "type": "object",
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": False,
            "properties": {
                "all": {"type": "boolean", "description": "Everybody; always true."},
                "users": {"type": "array", "minItems": 1, "maxItems": MOST_USERS, "items": {"type": "string"}},
                "upload": {"type": "string", "description": "The id of an upload that has finished."},
                "where": {"type": "object", "additionalProperties": True, "description": _CONDITION},
            },
        },
    ),
]


class PreviewIn(Body):
    audience: AudienceIn


class PreviewOut(Answer):
    people: int
    reachable: dict[str, int] = Field(
        description="channel → people with an active address whose channel is not off, by their choice or by default. "
        "Their choices about types and categories do not count here."
    )
    sample: list[str] = Field(description="The ids of ten of them at most.")


class BadRow(Answer):
    line: int
    code: str
    message: str


class UploadOut(Answer):
    id: str
    status: Literal["running", "finished"]
    rows: int = Field(description="Of the file, without its first line.")
    created: int = Field(description="People who were new.")
    changed: int = Field(description="Known people of whom something changed.")
    bad: list[BadRow] = Field(description="The first hundred lines that were left out, and why.")
    bad_rows: int
