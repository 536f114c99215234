"""Faults in data, schemas and preferences name their place the same way, whatever the names in it."""

import pytest

from notifier.catalogue.schemas import Check, data_faults
from notifier.catalogue.types import schema_faults
from notifier.core.errors import Rejected
from notifier.people import given_choices

NAMES = {"a/b": "/a~1b", "a~b": "/a~0b", "~1": "/~01", "\ud800": "/\\ud800", "": "/", "é": "/é"}


@pytest.mark.parametrize(("name", "pointer"), NAMES.items())
def test_all_who_look_for_faults_point_the_same_way(name: str, pointer: str) -> None:
    wrong = {"type": "object", "properties": {name: {"pattern": "("}}}
    assert [fault.pointer for fault in schema_faults(wrong)] == [f"/schema/properties{pointer}/pattern"]
    unknown = {"type": "object", "properties": {name: {"type": 1}}}
    assert [fault.pointer for fault in schema_faults(unknown)] == [f"/schema/properties{pointer}/type"]
    schema = {"type": "object", "properties": {name: {"type": "string"}}}
    assert [fault.pointer for fault in data_faults(Check("order_shipped", schema, {name: 1}))] == [f"/data{pointer}"]
    missing = {"type": "object", "required": [name]}
    assert [fault.pointer for fault in data_faults(Check("order_shipped", missing, {}))] == [f"/data{pointer}"]
    with pytest.raises(Rejected) as refused:
        given_choices.clean({name: True})
    assert [fault.pointer for fault in refused.value.faults] == [pointer]
