"""Shapes of what Alertmanager sends (its webhook, version 4). It may say more than this from release to release."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from notifier.api.fields import Body
from notifier.api.schemas.base import Answer

MOST_ALERTS = 1_000
_Labels = Annotated[dict[str, str], Field(max_length=100)]
_State = Literal["firing", "resolved"]


class AlertIn(Body):
    model_config = ConfigDict(extra="ignore")

    status: _State
    labels: _Labels
    annotations: _Labels = Field(default_factory=dict)
    startsAt: Annotated[str, Field(max_length=64)] = ""  # noqa: N815 (Alertmanager's name)


class AlertsIn(Body):
    model_config = ConfigDict(extra="ignore")

    version: Literal["4"] = "4"
    groupKey: Annotated[str, Field(max_length=10_000)] = ""  # noqa: N815
    status: _State
    alerts: Annotated[list[AlertIn], Field(min_length=1, max_length=MOST_ALERTS)]


class AlertsOut(Answer):
    status: Literal["accepted"]
