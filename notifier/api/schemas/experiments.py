"""Shapes of experiments with templates."""

from typing import Annotated, Literal

from pydantic import Field

from notifier.api.fields import Body
from notifier.api.schemas.base import Answer
from notifier.api.schemas.catalogue import TemplateWords
from notifier.core.experiments import ALL_WEIGHT, GOALS, NOTE

GOAL = Literal[GOALS]  # type: ignore[valid-type]


class VariantIn(Body):
    name: Annotated[str, Field(min_length=1, max_length=32)] = Field(examples=["b"])
    weight: Annotated[int, Field(ge=1, lt=ALL_WEIGHT)] = Field(
        description=f"Of {ALL_WEIGHT}; the published version, called `control`, has what is left.", examples=[50]
    )
    contents: list[TemplateWords] | None = Field(
        default=None,
        max_length=500,
        description="Channels that it does not mention say what the control says; on those that it does mention it "
        "must have all the control's languages.",
    )
    version: Annotated[int, Field(ge=1, le=10**9)] | None = Field(
        default=None, description="Instead of `contents`: a draft of the template, which becomes the variant."
    )
    goal: GOAL | None = Field(
        default=None, description="What variants are compared by; if left out, as it is, or `opened`."
    )
    start: bool = Field(
        default=True, description="False: more variants are added before `experiment/start`; afterwards none can be."
    )


class KeepIn(Body):
    keep: Annotated[str, Field(min_length=1, max_length=32)] = Field(
        description="The variant to publish; `control`: what is published stays.", examples=["b"]
    )


class VariantOut(Answer):
    name: str
    weight: int
    version: int
    people: int = Field(description="To whom something of it was sent, each once.")
    opened: int = Field(description="Of those, who opened something; machines do not count.")
    clicked: int
    rate: float | None = Field(description="The part of them who did what the experiment's goal is.")
    interval: Annotated[list[float], Field(min_length=2, max_length=2)] | None = Field(
        description="Wilson's, at 95 %.", examples=[[0.12, 0.18]]
    )


class RegionalExperiment(Answer):
    """An experiment in one cell. `status` may also be `away`, `held` or `refused`: then its people are not counted."""

    region: str
    status: str


class ExperimentOut(Answer):
    template: str
    status: Literal["draft", "running", "stopped"]
    goal: GOAL
    created_at: str
    started_at: str | None
    stopped_at: str | None
    kept: str | None
    variants: list[VariantOut]
    p_value: float | None = Field(
        description="Two-sided, of the best against the next best, times the number of pairs; null while fewer than 5 "
        "are expected in a cell."
    )
    verdict: str = Field(description="`too early`, `no difference`, or which is better.", examples=["b is better"])
    note: str = Field(examples=[NOTE])
    regions: list[RegionalExperiment] | None = Field(
        default=None, description="With several cells, whose people the figures count together."
    )
