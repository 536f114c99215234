"""Ciphertext opens with the right key, for its own purpose, and with nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.ground.encryption import KeyRing, KeysDoNotFit, Vault


def vault(*rings: str) -> Vault:
    opened = Vault()
    opened.open(KeyRing.parse(",".join(rings)))
    return opened


OLD, NEW = KeyRing.generate(), KeyRing.generate()


@given(st.binary(max_size=200))
def test_what_was_sealed_opens_again(plain: bytes) -> None:
    assert vault(OLD).decrypt(vault(OLD).encrypt(plain, "address.value"), "address.value") == plain


def test_the_same_text_is_never_sealed_alike() -> None:
    assert vault(OLD).encrypt(b"a", "x") != vault(OLD).encrypt(b"a", "x")


def test_keys_rotate_without_losing_what_the_old_one_sealed() -> None:
    sealed = vault(OLD).encrypt(b"secret", "x")
    rotated = vault(NEW, OLD)
    assert rotated.decrypt(sealed, "x") == b"secret"
    with pytest.raises(KeysDoNotFit):
        vault(OLD).decrypt(rotated.encrypt(b"later", "x"), "x")


@pytest.mark.parametrize(
    "spoil",
    [lambda s: s[:-1] + bytes([s[-1] ^ 1]), lambda s: b"\x02" + s[1:]],
    ids=["a bit flipped", "another version"],
)
def test_spoilt_ciphertext_does_not_open(spoil) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(KeysDoNotFit):
        vault(OLD).decrypt(spoil(vault(OLD).encrypt(b"secret", "x")), "x")


def test_ciphertext_cannot_be_moved_to_another_column() -> None:
    with pytest.raises(KeysDoNotFit):
        vault(OLD).decrypt(vault(OLD).encrypt(b"secret", "address.value"), "address.secret")


@pytest.mark.parametrize(
    "text",
    [
        *("", "k1", "k1:", "k1:AAAA", ":" + "A" * 44, "k-1:" + "A" * 43 + "=", "k1:" + "A" * 43 + "=,"),
        *("k1:" + "é" * 44, "ä1:" + "A" * 43 + "=", f"k1:{'A' * 43}=,k1:{'B' * 43}="),
    ],
)
def test_a_bad_key_ring_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="must be a comma-separated list") as refused:
        KeyRing.parse(text)
    assert len(text) < 4 or text not in str(refused.value)


def test_digests_need_their_own_key_and_follow_it() -> None:
    first, second = vault(OLD), vault(NEW, OLD)
    with pytest.raises(KeysDoNotFit):
        first.digest("a@x.test")
    first.use_digest_keys([b"1" * 32])
    second.use_digest_keys([b"1" * 32])
    assert first.digest("a@x.test") == second.digest("a@x.test") != first.digest("b@x.test")
