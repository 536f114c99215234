"""Which field is likely to be meant by an unknown one, of those at that place of the body. Used by `errors`."""

import typing
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel

from notifier.core.nearest import nearest


def meant_by(schema: str, path: Sequence[str | int]) -> str | None:
    """`schema`: the name of the body's class. `path`: of the unknown field, as pydantic gives it."""
    models = [model for model in _all(BaseModel) if model.__name__ == schema]
    for step in path[:-1]:
        if isinstance(step, str):
            inner = [found for model in models for found in _models_of(model, step)]
            models = inner or models  # a step may be none of the body's
    names = {field.alias or name for model in models for name, field in model.model_fields.items()}
    return nearest(str(path[-1]), sorted(names)) if path else None


def _models_of(model: type[BaseModel], name: str) -> Iterator[type[BaseModel]]:
    for field_name, field in model.model_fields.items():
        if name in (field.alias, field_name):
            yield from _within(field.annotation)


def _within(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from _within(inner)


def _all(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for inner in model.__subclasses__():
        yield inner
        yield from _all(inner)
