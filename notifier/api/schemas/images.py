"""Shapes of uploaded images."""

from typing import Annotated

from pydantic import Field

from notifier.api.fields import Part
from notifier.api.schemas.base import Answer


class ImageQuery(Part):
    name: Annotated[str, Field(max_length=200, description="Of the file, for the list in the console.")] = ""


class ImageOut(Answer):
    url: str = Field(description="Where people's programs load it from.")
    media_type: str
    name: str
    width: int = Field(description="Pixels.")
    height: int = Field(description="Pixels.")
    frames: int
    size: int = Field(description="Bytes.")
