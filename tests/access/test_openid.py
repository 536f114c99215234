"""Whom the provider means: asked by the code flow, and believed only what it has signed for this sign-in."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from apiflask import APIFlask
from cryptography.hazmat.primitives.asymmetric import rsa

from notifier.access import openid, openid_provider
from notifier.access.openid_provider import Refused
from notifier.ground.clock import now
from tests.openid import SECRET, Provider, acme_id, use  # noqa: F401 (a fixture)

ANN = "ann@acme.example"
EMAIL = {"email": ANN, "email_verified": True}


def come(provider: Provider, **answer: str) -> openid.Identity:
    url, flow = openid.begin()
    return openid.redeem(flow, {**provider.authorize(url), **answer})


def test_somebody_signs_in_there(acme_id: Provider) -> None:  # noqa: F811
    acme_id.claims = EMAIL
    found = come(acme_id)
    assert (found.issuer, found.subject, found.email) == (acme_id.issuer, "ann", "ann@acme.example")
    assert found.authenticated_at is not None
    come(acme_id)
    assert acme_id.asked.count("/jwks") == acme_id.asked.count("/.well-known/openid-configuration") == 1


def sign(provider: Provider, key: str | None, algorithm: str) -> None:
    provider.published = [provider.key]
    provider.key, provider.algorithm = key, algorithm


AT = 1_800_000_000
TELLS: dict[str, tuple[Callable[[Provider], object], str]] = {
    "another issuer": (lambda p: p.claims.update(iss="http://127.0.0.1:1"), "id_token_invalid_claim"),
    "another audience": (lambda p: p.claims.update(aud="shop"), "id_token_invalid_claim"),
    "several audiences": (lambda p: p.claims.update(aud=["notifier", "shop"]), "id_token_missing_claim"),
    "another party": (lambda p: p.claims.update(aud=["notifier", "shop"], azp="shop"), "id_token_invalid_claim"),
    "another nonce": (lambda p: p.claims.update(nonce="x"), "id_token_invalid_claim"),
    "no nonce": (lambda p: p.claims.update(nonce=None), "id_token_missing_claim"),
    "no expiry": (lambda p: p.claims.update(exp=None), "id_token_missing_claim"),
    "no subject": (lambda p: p.claims.update(sub=None), "id_token_missing_claim"),
    "a subject that no database takes": (lambda p: p.claims.update(sub="a\ud800"), "id_token_subject"),
    "an empty subject": (lambda p: p.claims.update(sub=""), "id_token_subject"),
    "a subject of numbers": (lambda p: p.claims.update(sub=5), "id_token_"),
    "a subject that fits nowhere": (lambda p: p.claims.update(sub="a" * 256), "id_token_subject"),
    "expired": (lambda p: p.claims.update(exp=AT - 120), "id_token_expired"),
    "of the future": (lambda p: p.claims.update(iat=AT + 120), "id_token_invalid_"),
    "not valid yet": (lambda p: p.claims.update(nbf=AT + 120), "id_token_invalid_"),
    "another access token": (lambda p: p.claims.update(at_hash="AAAA"), "id_token_invalid_claim"),
    "a key that is not published": (
        lambda p: p.published.append(rsa.generate_private_key(public_exponent=65537, key_size=2048)),
        "id_token_signature",
    ),
    "an unknown key": (lambda p: p.header.update(kid="new"), "id_token_key"),
    "signed by the client's secret": (lambda p: sign(p, SECRET, "HS256"), "id_token_algorithm"),
    "not signed": (lambda p: sign(p, None, "none"), "id_token_algorithm"),
    "discovery of another issuer": (lambda p: p.discovery.update(issuer="http://127.0.0.1:1"), "discovery_of_another"),
    "no token endpoint": (lambda p: p.discovery.update(token_endpoint=None), "discovery_without_endpoints"),
    "a token endpoint elsewhere": (lambda p: p.discovery.update(token_endpoint="http://10.0.0.1/"), "refused_by"),
    "userinfo of another": (lambda p: p.__dict__.update(claims={}, userinfo={"sub": "bob"}), "userinfo_of_another"),
}


@pytest.mark.parametrize("told", TELLS)
def test_what_is_not_signed_for_us_and_for_this_sign_in_is_not_believed(acme_id: Provider, told: str) -> None:  # noqa: F811
    tell, why = TELLS[told]
    acme_id.claims = dict(EMAIL)
    with time_machine.travel(AT, tick=False):
        tell(acme_id)
        with pytest.raises(Refused, match=why):
            come(acme_id)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"state": "x"}, "state"),
        ({"state": "ä"}, "state"),
        ({"code": "x"}, "refused_by_provider"),
        ({"code": ""}, "provider_said_nothing"),
        ({"error": "access_denied"}, "provider_said_access_denied"),
        ({"iss": "http://127.0.0.1:1"}, "answer_of_another_issuer"),
    ],
)
def test_an_answer_that_is_not_to_our_question_is_refused(
    acme_id: Provider,  # noqa: F811
    answer: dict[str, str],
    why: str,
) -> None:
    with pytest.raises(Refused, match=why):
        come(acme_id, **answer)


def test_a_code_works_once_and_with_its_own_verifier_only(acme_id: Provider) -> None:  # noqa: F811
    acme_id.claims = EMAIL
    url, flow = openid.begin()
    _, other = openid.begin()
    answer = acme_id.authorize(url)
    with pytest.raises(Refused, match="refused_by_provider"):
        openid.redeem(openid.Flow(flow.state, flow.nonce, other.verifier), answer)
    answer = acme_id.authorize(url)
    assert openid.redeem(flow, answer).subject == "ann"
    with pytest.raises(Refused, match="refused_by_provider"):
        openid.redeem(flow, answer)


@pytest.mark.parametrize(
    ("claims", "userinfo", "email"),
    [
        (EMAIL, None, "ann@acme.example"),
        ({**EMAIL, "email_verified": "true"}, None, "ann@acme.example"),
        ({**EMAIL, "email_verified": False}, None, None),
        ({**EMAIL, "email_verified": "false"}, None, None),
        # Entra ID says it by a claim of its own, in either form, and at /userinfo just the e-mail
        ({"email": ANN, "xms_edov": True}, {"sub": "ann", "email": ANN}, ANN),
        ({"email": ANN, "xms_edov": "1"}, None, ANN),
        ({"email": ANN, "xms_edov": False}, {"sub": "ann", "email": ANN}, None),
        ({**EMAIL, "email_verified": False, "xms_edov": True}, None, None),
        ({"email": ANN}, {"sub": "ann", "email": "root@acme.example", "xms_edov": True}, "root@acme.example"),
        ({"email": ANN, "xms_edov": True}, {"sub": "ann", "email": ANN, "email_verified": False}, ANN),
        ({"email": "ann@acme.example"}, {"sub": "ann"}, None),
        ({}, {"sub": "ann", **EMAIL}, "ann@acme.example"),
        # Verified is what is said in the same breath
        ({"email": "root@acme.example"}, {"sub": "ann", **EMAIL}, "ann@acme.example"),
        ({"email": "root@acme.example"}, {"sub": "ann", "email_verified": True}, None),
    ],
)
def test_an_e_mail_counts_if_the_provider_vouches_for_it(
    acme_id: Provider,  # noqa: F811
    claims: dict[str, Any],
    userinfo: dict[str, Any] | None,
    email: str | None,
) -> None:
    acme_id.claims, acme_id.userinfo = claims, userinfo
    assert come(acme_id).email == email


def test_who_is_asked_for_roles_does_not_vouch_for_anothers_word(
    acme_id: Provider,  # noqa: F811
    app: APIFlask,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use(app, monkeypatch, acme_id.issuer, "groups: ops=admin")
    acme_id.claims = {"email": ANN, "xms_edov": False}
    acme_id.userinfo = {"sub": "ann", "groups": ["ops"], **EMAIL}
    found = come(acme_id)
    assert (found.email, found.claims["groups"]) == (None, ["ops"])


def test_a_new_key_is_fetched_and_old_ones_are_kept_for_an_hour(acme_id: Provider) -> None:  # noqa: F811
    acme_id.claims = EMAIL
    come(acme_id)
    old, acme_id.key = acme_id.key, rsa.generate_private_key(public_exponent=65537, key_size=2048)
    acme_id.published, acme_id.header = [old, acme_id.key], {"kid": "1"}
    assert come(acme_id).subject == "ann"
    assert acme_id.asked.count("/jwks") == 2


def test_a_provider_that_is_away_is_said_to_be(acme_id: Provider, app: APIFlask) -> None:  # noqa: F811
    acme_id.is_away = True
    with pytest.raises(Refused, match="away") as caught:
        openid.begin()
    assert "cannot be reached" in caught.value.words
    acme_id.is_away = False
    url, flow = openid.begin()
    acme_id.is_away = True
    with pytest.raises(Refused, match="away"):
        openid.redeem(flow, acme_id.authorize(url))
    assert openid_provider.endpoints().token.startswith(acme_id.issuer)  # what is known is known


def test_an_issuer_that_may_not_be_reached_is_refused(
    acme_id: Provider,  # noqa: F811
    app: APIFlask,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use(app, monkeypatch, "https://169.254.169.254")
    with pytest.raises(Refused, match="refused_by_provider"):
        openid.begin()


def test_its_token_is_good_for_a_minute_more_than_it_says(acme_id: Provider) -> None:  # noqa: F811
    acme_id.claims = EMAIL
    url, flow = openid.begin()
    answer = acme_id.authorize(url)
    with time_machine.travel(now() - timedelta(seconds=50)):
        assert openid.redeem(flow, answer).subject == "ann"
