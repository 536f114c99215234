"""Networks that people write down."""

import pytest

from notifier.core.networks import MOST, is_within, neighbourhood, parse


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([], []),
        (["203.0.113.7"], ["203.0.113.7/32"]),
        (["203.0.113.0/24", " 203.0.113.0/24 "], ["203.0.113.0/24"]),
        (["2001:db8:0::/32", "0.0.0.0/0"], ["2001:db8::/32", "0.0.0.0/0"]),
        (["::ffff:203.0.113.0/120", "::ffff:203.0.113.7"], ["203.0.113.0/24", "203.0.113.7/32"]),
        (["::ffff:0:0/96", "::/0"], ["0.0.0.0/0", "::/0"]),
    ],
    ids=["none", "address", "twice", "v6", "v4 as v6", "all of v4 as v6"],
)
def test_networks_are_read_once_each_in_their_shortest_form(texts: list[str], expected: list[str]) -> None:
    assert [str(network) for network in parse(texts)] == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("shop.example", "shop.example is not a network"),
        ("203.0.113.7/33", "is not a network"),
        ("203.0.113.7/24", "write 203.0.113.0/24 for all of it"),
        ("", "is not a network"),
        ("1" * 500, f"{'1' * 80} is not a network"),
    ],
    ids=["name", "mask", "host-bits", "empty", "long"],
)
def test_what_is_no_network_is_said_in_a_sentence(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse([text])


def test_there_may_be_so_many_and_no_more() -> None:
    texts = [f"10.0.{number}.0/24" for number in range(MOST + 1)]
    assert len(parse(texts[:MOST])) == MOST
    with pytest.raises(ValueError, match="at most"):
        parse(texts)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("203.0.113.200", True),
        ("203.0.114.1", False),
        ("::ffff:203.0.113.1", True),
        ("2001:db8::1", True),
        ("2001:db9::1", False),
        ("fe80::1%eth0", False),
        ("unknown", False),
        ("", False),
        (None, False),
    ],
)
def test_an_address_lies_in_a_network_or_not(address: str | None, expected: bool) -> None:
    assert is_within(address, parse(["203.0.113.0/24", "2001:db8::/32"])) is expected


def test_in_no_network_lies_nobody() -> None:
    assert not is_within("203.0.113.1", ())


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("nobody knows", "nobody knows"),
    ],
)
def test_who_has_one_address_of_an_ipv6_network_counts_as_all_of_it(address: str, expected: str) -> None:
    assert neighbourhood(address) == expected


def test_a_wider_one_may_be_asked_for() -> None:
    assert neighbourhood("2001:db8:1:2::5", 48) == "2001:db8:1::/48"
    assert neighbourhood("203.0.113.7", 48) == "203.0.113.7"
