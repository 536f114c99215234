"""The table of limits: complete, and as the documentation shows it."""

import re
from dataclasses import fields
from pathlib import Path

import limits
import pytest

from notifier.core.limit_policies import POLICIES, Policy, default_of
from notifier.ground.config import ROOT, Settings, setting_names

PAGE: Path = ROOT / "docs" / "limits.md"
HEAD = "| name | counts | allowed | setting | beyond it | without Redis |\n|---|---|---|---|---|---|\n"


def line(policy: Policy) -> str:
    allowed = f"`{policy.default}`" if policy.default and "/" in policy.default else policy.default or "any"
    setting = f"`{policy.setting}`" if policy.setting else "–"
    cells = f"`{policy.name}`", policy.subject, allowed, setting, policy.answer, policy.without_redis
    return f"| {' | '.join(cells)} |\n"


def test_the_documentation_shows_the_table() -> None:
    assert HEAD + "".join(map(line, POLICIES.values())) in PAGE.read_text()


def test_every_setting_of_a_limit_is_one() -> None:
    named = {policy.setting for policy in POLICIES.values() if policy.setting}
    assert named <= set(setting_names())
    limiting = {name for name in setting_names() if re.search(r"LIMIT|CAPS|COUNTRIES", name)}
    assert limiting == named


@pytest.mark.parametrize("policy", [p for p in POLICIES.values() if p.default and re.fullmatch(r"\d+/.+", p.default)])
def test_a_default_can_be_read_and_is_what_a_setting_says(policy: Policy) -> None:
    assert limits.parse(default_of(policy.name)).amount > 0
    if policy.setting and policy.name != "known":
        helps = {f.name.upper(): f.metadata.get("help", "") for f in fields(Settings)}
        assert f"(`{policy.default}`)" in helps[policy.setting]
