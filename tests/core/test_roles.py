"""Which role the claims of an OpenID provider give."""

from typing import Any

import pytest

from notifier.core.roles import ClaimMissing, RoleRule

RULE = "groups: notifier admins=admin, ops=operator, support=viewer, a=b=viewer"


@pytest.mark.parametrize(
    ("rule", "claims", "role"),
    [
        (RULE, {"groups": ["ops"]}, "operator"),
        (RULE, {"groups": ["support", "notifier admins", "ops"]}, "admin"),
        (RULE, {"groups": "support"}, "viewer"),
        (RULE, {"groups": ["a=b"]}, "viewer"),
        (RULE, {"groups": ["Ops", "else"]}, None),
        (RULE, {"groups": []}, None),
        (RULE, {"groups": [["ops"], {"ops": 1}, 5, None]}, None),
        (RULE, {"groups": {"ops": True}}, None),
        (f"{RULE}, *=person", {"groups": ["else"]}, "person"),
        (f"{RULE}, *=person", {}, "person"),
        (f"{RULE}, *=viewer", {"groups": ["ops"]}, "operator"),
        ("realm_access.roles: ops=operator", {"realm_access": {"roles": ["ops"]}}, "operator"),
        ("https://acme.example/roles: ops=operator", {"https://acme.example/roles": ["ops"]}, "operator"),
        ("a.b: ops=operator", {"a.b": ["ops"], "a": {"b": ["else"]}}, "operator"),
    ],
)
def test_the_highest_role_of_all_values_counts(rule: str, claims: dict[str, Any], role: str | None) -> None:
    assert RoleRule.parse(rule).role_of(claims) == role


@pytest.mark.parametrize("claims", [{}, {"group": ["ops"]}, {"groups": None}])
def test_a_claim_that_is_missing_is_told_where_it_decides_who_comes_in(claims: dict[str, Any]) -> None:
    with pytest.raises(ClaimMissing, match="groups"):
        RoleRule.parse(RULE).role_of(claims)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "must be like"),
        ("groups", "must be like"),
        ("groups ops=admin", "must be like"),
        ("groups:", "must be like"),
        (": ops=admin", "must be like"),
        ("groups: ops", "must be like"),
        ("groups: =admin", "must be like"),
        ("groups: ops=root", "names the role 'root'"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        RoleRule.parse(text)
