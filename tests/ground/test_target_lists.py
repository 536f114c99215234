"""The lists of webhook targets: how each is written, and what of the many spellings of a host is on it."""

import pytest

from notifier.channels import CHANNELS
from notifier.channels.contract import AddressKind
from notifier.channels.serving import normalise
from notifier.ground.target_lists import INSTALLATION, PRODUCER, TargetList, leaves_out, refuses


def listed(*texts: str, whose: str = INSTALLATION) -> TargetList:
    return TargetList.parse(whose, texts)


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("203.0.113.0/24", "203.0.113.0/24"),
        ("203.0.113.7", "203.0.113.7/32"),
        ("2001:db8::/32", "2001:db8::/32"),
        ("[2001:db8::1]", "2001:db8::1/128"),
        ("Hooks.Example.COM", "hooks.example.com"),
        ("hooks.example.com.", "hooks.example.com"),
        ("*.Example.com", "*.example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("*.BÜCHER.example", "*.xn--bcher-kva.example"),
        ("localhost", "localhost"),
        (" _dmarc.example.com ", "_dmarc.example.com"),
    ],
)
def test_an_entry_is_kept_in_one_spelling(text: str, entry: str) -> None:
    assert listed(text).entries() == [entry]
    assert listed(*listed(text).entries()) == listed(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "*", "*.", "*.*.example.com", "a*.example.com", ".example.com", "https://example.com", "example.com/x"),
        *("example.com:443", "user@example.com", "exa mple.com", "-a.example", "a..example", "x" * 64 + ".example"),
        *("203.0.113.7/24", "203.0.113.0/33", "2130706433", "0x7f.1", "256.1.1.1", "[::1", "a.example?", "a#b.example"),
    ],
)
def test_what_is_no_entry_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"write|allowed"):
        listed(text)


# host → left out for certain by [*.example.com, hooks.test, 203.0.113.0/24, 2001:db8::/32], and by the same without
# networks, whose names decide alone
SPELLINGS = [
    ("hooks.test", False, False),
    ("HOOKS.test", False, False),
    ("hooks.test.", False, False),
    ("a.example.com", False, False),
    ("a.b.example.com", False, False),
    ("203.0.113.5", False, True),
    ("0xcb.0.0x71.5", False, True),
    ("3405803781", False, True),  # 203.0.113.5
    ("0313.0.0161.5", False, True),
    ("[::ffff:203.0.113.5]", False, True),
    ("[::ffff:cb00:7105]", False, True),
    ("[2001:db8::1]", False, True),
    ("203.0.114.5", True, True),
    ("3405804037", True, True),  # 203.0.114.5
    ("127.1", True, True),
    ("0", True, True),
    ("[::ffff:10.0.0.1]", True, True),
    ("[::1]", True, True),
    ("other.test", False, True),  # with networks it depends on where the name leads
    ("example.com", False, True),
    ("evilexample.com", False, True),
    ("hooks.test.evil.test", False, True),
    ("xhooks.test", False, True),
    ("hooks.test..", False, False),
    ("", False, True),
]


@pytest.mark.parametrize(("host", "with_networks", "names_only"), SPELLINGS)
def test_every_spelling_of_a_host_is_judged_alike(host: str, with_networks: bool, names_only: bool) -> None:
    names = ("*.example.com", "hooks.test")
    lists = listed(*names, "203.0.113.0/24", "2001:db8::/32"), listed(*names)
    assert tuple(leaves_out((one,), host) == INSTALLATION for one in lists) == (with_networks, names_only)


@pytest.mark.parametrize(
    ("host", "address", "refused"),
    [
        ("hooks.test", "10.0.0.1", False),  # its name is listed; whether it may be reached at all is another question
        ("a.example.com.", "8.8.8.8", False),
        ("other.test", "203.0.113.5", False),
        ("other.test", "::ffff:203.0.113.5", False),
        ("other.test", "203.0.114.5", True),
        ("203.0.113.5", "203.0.113.5", False),
        ("other.test", "2001:db8::5", False),
        ("other.test", "fe80::1%eth0", True),
    ],
)
def test_a_name_that_is_not_listed_is_judged_by_its_address(host: str, address: str, refused: bool) -> None:
    one = listed("*.example.com", "hooks.test", "203.0.113.0/24", "2001:db8::/32")
    assert (refuses((one,), host, address) == INSTALLATION) is refused


def test_where_both_have_a_list_both_must_name_the_target() -> None:
    of_all, own = listed("*.example.com"), listed("a.example.com", "b.test", whose=PRODUCER)
    hosts = "a.example.com", "c.example.com", "b.test", "d.test"
    assert [leaves_out((of_all, own), host) for host in hosts] == [None, PRODUCER, INSTALLATION, INSTALLATION]
    assert [refuses((of_all, own), host, "8.8.8.8") for host in hosts] == [None, PRODUCER, INSTALLATION, INSTALLATION]


def test_an_empty_list_leaves_everything_out_and_none_nothing() -> None:
    assert leaves_out((listed(),), "hooks.test") == INSTALLATION
    assert refuses((listed(),), "hooks.test", "8.8.8.8") == INSTALLATION
    assert (leaves_out((), "hooks.test"), refuses((), "hooks.test", "8.8.8.8")) == (None, None)


def kind(channel: str) -> AddressKind:
    found = CHANNELS[channel].address
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("channel", "value", "hold"),
    [
        ("webhook", "https://hooks.test/", True),
        ("slack", "https://hooks.slack.com/services/T0/B0/x", True),
        ("slack", "U012AB3CD", False),  # a name at Slack: the installation's own account is called
        ("apprise", "ntfys://push.test/x", True),
        ("email", "a@hooks.test", False),
        ("sms", "+4915112345678", False),
        ("push", "fGx0m3Rk7dE:APA91bHPRgkF3", False),
    ],
)
def test_lists_hold_for_addresses_that_are_called(channel: str, value: str, hold: bool) -> None:
    lists = (listed("hooks.test"),)
    assert kind(channel).lists_for(normalise(channel, value), lists) == (lists if hold else ())


def test_browsers_push_services_are_on_every_list() -> None:
    push = kind("webpush")
    lists = push.lists_for(push.example, (listed("hooks.test"),))
    hosts = "fcm.googleapis.com", "updates.push.services.mozilla.com", "web.push.apple.com", "wns2-a.notify.windows.com"
    assert {leaves_out(lists, host) for host in hosts} == {None}
    assert {leaves_out(lists, host) for host in ("push.evil.test", "googleapis.com", "evil.googleapis.com")} == {
        INSTALLATION
    }
