"""Settings come from the environment, typed; what does not make sense is said in one message, without secrets."""

import contextlib
import os
import re
import stat
from datetime import timedelta
from pathlib import Path

import pytest
import redis
from sqlalchemy import make_url

from notifier.core.limits import DEFAULT_CAPS, parse_caps
from notifier.core.retention import DEFAULT_RETENTION, parse_retention
from notifier.core.spend import Ceiling
from notifier.ground import embedded_redis
from notifier.ground.config import COMMANDED, BadSettings, Settings, setting_names
from notifier.ground.encryption import KeyRing
from notifier.ground.engines import sqlite_file
from notifier.ground.secret_commands import printed_by
from notifier.ground.sink_urls import Credentials, HttpSink


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    return {"NOTIFIER_HOME": str(tmp_path)}


def test_an_empty_environment_is_a_whole_development_installation(tmp_path: Path, home: dict[str, str]) -> None:
    settings = Settings.from_env(home)
    assert (settings.host, settings.port, settings.public_url) == ("127.0.0.1", 5000, "http://127.0.0.1:5000")
    assert settings.database_url == f"sqlite:///{tmp_path}/notifier.db"
    assert settings.redis_is_embedded
    assert not settings.has_secure_cookies


def test_generated_secrets_are_kept_and_private(tmp_path: Path, home: dict[str, str]) -> None:
    first, second = Settings.from_env(home), Settings.from_env(home)
    assert (first.secret_key, first.encryption_keys) == (second.secret_key, second.encryption_keys)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


@pytest.mark.parametrize("name", ["SECRET_KEY", "ENCRYPTION_KEYS"])
@pytest.mark.parametrize(("content", "said"), [(b"", "is empty"), (b" \n", "is empty"), (b"\xff\xfe", "is no text")])
@pytest.mark.parametrize("makes_secrets", [True, False])
def test_a_secret_that_a_fault_has_emptied_is_no_secret(
    home: dict[str, str], tmp_path: Path, name: str, content: bytes, said: str, makes_secrets: bool
) -> None:
    Settings.from_env(home)
    path = tmp_path / name.lower()
    path.write_bytes(content)
    with pytest.raises(BadSettings, match=f"{name} is kept in {path}, which {said}: put it back from a backup"):
        Settings.from_env(home, makes_secrets=makes_secrets)
    assert path.read_bytes() == content


@pytest.mark.parametrize("name", ["DATABASE_URL", "REDIS_URL", "SECRET_KEY", "METRICS_TOKEN", "OIDC_CLIENT_SECRET"])
def test_a_file_that_is_named_and_empty_is_a_fault(home: dict[str, str], tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(BadSettings, match=f"{name}_FILE names a file that is empty"):
        Settings.from_env({**home, f"{name}_FILE": str(tmp_path / "empty")})


def test_production_wants_its_secrets_given(home: dict[str, str]) -> None:
    with pytest.raises(BadSettings) as refused:
        Settings.from_env({**home, "NOTIFIER_ENV": "production"})
    assert "SECRET_KEY is required" in str(refused.value)
    assert "ENCRYPTION_KEYS is required" in str(refused.value)


@pytest.mark.parametrize(
    ("url", "proxies", "starts"),
    [
        ("https://notifier.example", None, False),
        ("https://notifier.example", "", False),
        ("https://notifier.example", "0", True),
        ("https://notifier.example", "1", True),
        ("http://notifier.example", None, True),
    ],
)
def test_production_behind_tls_wants_to_know_its_proxies(
    home: dict[str, str], url: str, proxies: str | None, starts: bool
) -> None:
    given = {**home, "NOTIFIER_ENV": "production", "SECRET_KEY": "x", "ENCRYPTION_KEYS": KeyRing.generate()}
    given |= {"PUBLIC_URL": url} | ({} if proxies is None else {"TRUSTED_PROXIES": proxies})
    if starts:
        assert Settings.from_env(given).trusted_proxies == int(proxies or 0)
    else:
        with pytest.raises(BadSettings, match="TRUSTED_PROXIES is required in production with an https PUBLIC_URL"):
            Settings.from_env(given)
    assert Settings.from_env({**given, "NOTIFIER_ENV": "development"}).trusted_proxies == int(proxies or 0)


def test_a_secret_may_stand_in_a_file(tmp_path: Path, home: dict[str, str]) -> None:
    (tmp_path / "key").write_text("from-a-file\n")
    assert Settings.from_env({**home, "SECRET_KEY_FILE": str(tmp_path / "key")}).secret_key == "from-a-file"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("postgresql://u:p@h/d", "postgresql+psycopg2://u:p@h/d"),
        ("postgres://h/d", "postgresql+psycopg2://h/d"),
        ("postgresql+psycopg2://h/d", "postgresql+psycopg2://h/d"),
        ("sqlite:////tmp/x.db", "sqlite:////tmp/x.db"),
    ],
)
def test_postgresql_is_spoken_through_psycopg2(home: dict[str, str], given: str, expected: str) -> None:
    assert Settings.from_env({**home, "DATABASE_URL": given}).database_url == expected


@pytest.mark.parametrize(
    ("given", "is_on"),
    [
        ({"DATABASE_URL": "postgresql://h/d"}, True),
        ({"DATABASE_URL": "sqlite:////tmp/x.db"}, False),
        ({"DATABASE_URL": "postgresql://h/d", "PREFERENCE_CACHE": "off"}, False),
        ({"DATABASE_URL": "sqlite:////tmp/x.db", "PREFERENCE_CACHE": "on"}, True),
    ],
)
def test_choices_are_kept_in_redis_where_that_is_cheaper_than_asking(
    home: dict[str, str], given: dict[str, str], is_on: bool
) -> None:
    assert Settings.from_env({**home, **given}).preference_cache is is_on


def test_retry_delays_replace_those_of_every_priority(home: dict[str, str]) -> None:
    assert Settings.from_env({**home, "RETRY_DELAYS": "0.1, 2"}).retry_delays == dict.fromkeys(
        ("urgent", "high", "medium", "low"), (0.1, 2.0)
    )


def test_caps_are_given_by_category_and_the_others_stay(home: dict[str, str]) -> None:
    assert Settings.from_env(home).caps == DEFAULT_CAPS
    assert Settings.from_env({**home, "CAPS": "social none, marketing 1/day"}).caps == {
        **DEFAULT_CAPS,
        "social": {},
        "marketing": {"day": 1},
    }


def test_the_caps_shown_as_default_are_those() -> None:
    [shown] = re.findall(r"\(`(.*)`\)", setting_names()["CAPS"])
    assert parse_caps(shown) == (DEFAULT_CAPS, [])


def test_what_is_kept_is_kept_as_long_as_is_said(home: dict[str, str]) -> None:
    assert Settings.from_env(home).retention == DEFAULT_RETENTION
    changed = Settings.from_env({**home, "RETENTION": "events 36h"}).retention
    assert changed == {**DEFAULT_RETENTION, "events": timedelta(hours=36)}


@pytest.mark.parametrize("text", ["events", "events 0d", "events 14", "events -1d", "events 14 d", "letters 3d"])
def test_what_is_no_time_to_keep_something_is_refused(home: dict[str, str], text: str) -> None:
    with pytest.raises(BadSettings, match="RETENTION: "):
        Settings.from_env({**home, "RETENTION": text})


def test_the_retention_shown_as_default_is_that() -> None:
    [shown] = re.findall(r"\(`(.*)`\)", setting_names()["RETENTION"])
    assert parse_retention(shown) == (DEFAULT_RETENTION, [])


def test_a_sink_may_stand_in_a_file_and_none_is_shown(tmp_path: Path, home: dict[str, str]) -> None:
    (tmp_path / "sink").write_text("https://user:hunter2@collector.example/\n")
    settings = Settings.from_env({**home, "EVENTS_SINK_FILE": str(tmp_path / "sink")})
    assert settings.events_sink == HttpSink("https://collector.example/", Credentials("user", "hunter2"))
    assert "hunter2" not in repr(settings)
    with pytest.raises(BadSettings, match="EVENTS_SINK must name a topic") as refused:
        Settings.from_env({**home, "EVENTS_SINK": "kafka://user:hunter2@broker"})
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"}, "OTEL_EXPORTER_OTLP_ENDPOINT must start with http://"),
        ({"OTEL_TRACES_SAMPLER": "sometimes"}, "OTEL_TRACES_SAMPLER must be one of always_on, "),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "5"}, "OTEL_TRACES_SAMPLER_ARG must be"),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "nan"}, "OTEL_TRACES_SAMPLER_ARG must be"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf"),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL must be debug, info, warning or error"),
    ],
)
def test_what_opentelemetry_would_pass_over_is_a_fault(home: dict[str, str], given: dict[str, str], fault: str) -> None:
    with pytest.raises(BadSettings, match=re.escape(fault)):
        Settings.from_env({**home, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", **given})


def test_without_a_collector_the_variables_of_others_matter_not(home: dict[str, str]) -> None:
    settings = Settings.from_env({**home, "OTEL_TRACES_SAMPLER": "jaeger_remote", "LOG_LEVEL": "WARNING"})
    assert (settings.otel_exporter_otlp_endpoint, settings.log_level) == (None, "warning")


def test_every_fault_is_reported_at_once_and_no_secret_with_it(home: dict[str, str]) -> None:
    faulty = {
        **home,
        "PORT": "eighty",
        "NOTIFIER_ENV": "prod",
        "PUBLIC_URL": "ftp://x",
        "DATABASE_URL": "mysql://root:hunter2@h/d",
        "REDIS_URL": "http://:hunter2@h",
        "ENCRYPTION_KEYS": "hunter2",
        "NOTIFIER_PRODUCER_KEY": "hunter2",
        "OUTBOUND_ALLOW": "10.0.0.0/8,nonsense",
        "RETRY_DELAYS": "1,-2",
        "RATE_LIMIT": "a lot",
        "CONNECTIONS_PER_ADDRESS": "many",
        "CAPS": "gossip 1/day, social often",
        "SECURITY_CONTACT": "security@example.com",
        "METRICS_PORT": "many",
        "METRICS_TOKEN": "hunter2",
    }
    with pytest.raises(BadSettings) as refused:
        Settings.from_env(faulty)
    message = str(refused.value)
    assert [name for name in faulty if name != "NOTIFIER_HOME" and name not in message] == []
    assert "hunter2" not in message
    assert "CAPS: 'gossip' is not one of" in message
    assert "CAPS: 'often' must look like" in message


@pytest.mark.parametrize(("port", "is_taken"), [("0", False), ("9100", False), ("5000", True)])
def test_metrics_have_a_port_of_their_own_or_none(home: dict[str, str], port: str, is_taken: bool) -> None:
    with pytest.raises(BadSettings, match="another port than PORT") if is_taken else contextlib.nullcontext():
        assert Settings.from_env({**home, "METRICS_PORT": port}).metrics_port == int(port)


@pytest.mark.parametrize("name", COMMANDED)
def test_keys_may_be_what_a_command_prints(home: dict[str, str], name: str) -> None:
    ring = KeyRing.generate()
    settings = Settings.from_env({**home, "RING": ring, f"{name}_COMMAND": "sh -c 'echo $RING'"})
    found = getattr(settings, name.lower())
    assert found == (KeyRing.parse(ring) if name == "ENCRYPTION_KEYS" else ring)
    given = {f"{name}_COMMAND": "no-such-command", name: ring}
    assert getattr(Settings.from_env({**home, **given}), name.lower()) == found  # what is set goes first


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("no-such-command", "ENCRYPTION_KEYS_COMMAND cannot be run: No such file or directory"),
        ("sh -c 'echo hunter2; echo hunter2 >&2; exit 3'", "ENCRYPTION_KEYS_COMMAND has failed (exit status 3)"),
        ("echo hunter2", "ENCRYPTION_KEYS must be a comma-separated list"),
        ("true", "ENCRYPTION_KEYS_COMMAND has printed nothing"),
        ("printf '\\377'", "ENCRYPTION_KEYS_COMMAND has printed something that is not UTF-8"),
        ("echo 'hunter2", "ENCRYPTION_KEYS_COMMAND cannot be read: a quotation mark is missing"),
        (" ", "ENCRYPTION_KEYS_COMMAND names no command"),
    ],
)
def test_a_command_that_prints_no_keys_is_told_without_what_it_said(
    home: dict[str, str], capfd: pytest.CaptureFixture[str], command: str, said: str
) -> None:
    with pytest.raises(BadSettings) as refused:
        Settings.from_env({**home, "ENCRYPTION_KEYS_COMMAND": command})
    assert said in str(refused.value)
    assert "hunter2" not in str(refused.value) + "".join(capfd.readouterr())
    assert not (Path(home["NOTIFIER_HOME"]) / "encryption_keys").exists()


def test_a_command_that_does_not_end_is_ended_with_all_it_has_started() -> None:
    with pytest.raises(ValueError, match=r"has not ended within 0\.1 seconds"):
        printed_by("sh -c 'sleep 600 & wait'", os.environ, 0.1)


def test_a_key_ring_is_parsed(home: dict[str, str]) -> None:
    ring = KeyRing.generate()
    assert Settings.from_env({**home, "ENCRYPTION_KEYS": ring}).encryption_keys == KeyRing.parse(ring)


# ---- addresses and paths


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({}, "http://127.0.0.1:5000"),
        ({"HOST": "::1"}, "http://[::1]:5000"),
        ({"HOST": "[::1]", "PORT": "8000"}, "http://[::1]:8000"),
        ({"HOST": "0.0.0.0"}, "http://127.0.0.1:5000"),
        ({"HOST": "::"}, "http://[::1]:5000"),
        ({"PUBLIC_URL": "https://[2001:db8::1]/"}, "https://[2001:db8::1]"),
    ],
)
def test_links_name_an_address_that_can_be_opened(home: dict[str, str], given: dict[str, str], url: str) -> None:
    assert Settings.from_env({**home, **given}).public_url == url


def test_a_link_is_built_of_its_parts(home: dict[str, str]) -> None:
    settings = Settings.from_env({**home, "PUBLIC_URL": "https://notifier.example"})
    assert (
        settings.link("u", "a/b?c#d", fragment="like-e mail")
        == "https://notifier.example/u/a%2Fb%3Fc%23d#like-e%20mail"
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"PUBLIC_URL": "https://example.test/notifier"}, "PUBLIC_URL must have no path"),
        ({"PUBLIC_URL": "https://example.test/?a"}, "PUBLIC_URL must have no path"),
        ({"PUBLIC_URL": "https://me@example.test"}, "PUBLIC_URL must have no path"),
        ({"PUBLIC_URL": "http://0.0.0.0:5000"}, "PUBLIC_URL must name a host that people can open"),
        ({"PUBLIC_URL": "http://[::]:5000"}, "PUBLIC_URL must name a host that people can open"),
        ({"PUBLIC_URL": "http://::1:5000"}, "PUBLIC_URL is not a URL; an IPv6 address must be in brackets"),
        ({"REDIS_URL": "redis://::1:6379"}, "REDIS_URL is not a URL; an IPv6 address must be in brackets"),
        ({"DATABASE_URL": "postgresql://h:x/d"}, "DATABASE_URL"),
        ({"DATABASE_POOLER": "postgresql://h/d"}, "DATABASE_POOLER needs DATABASE_URL to be PostgreSQL's"),
        ({"DATABASE_REPLICA_URL": "postgresql://h:x/d"}, "DATABASE_REPLICA_URL cannot be read"),
        ({"DATABASE_POOLER": "sqlite:///x"}, "DATABASE_POOLER must start with postgresql://"),
        ({"DATABASE_URL": "sqlite://"}, "DATABASE_URL must name a file"),
        ({"DATABASE_URL": "sqlite:///:memory:"}, "DATABASE_URL must name a file"),
        ({"DATABASE_URL": "sqlite:///file:x?mode=memory&uri=true"}, "DATABASE_URL must name a file"),
        ({"CDN_URL": "cdn.example.test"}, "CDN_URL must start with http:// or https://"),
        ({"CDN_URL": "https://cdn.example.test/?a"}, "CDN_URL must be an address to which"),
        ({"CDN_URL": "https://me@cdn.example.test"}, "CDN_URL must be an address to which"),
        ({"CDN_URL": 'https://cdn.example.test/"'}, "CDN_URL must be an address to which"),
    ],
)
def test_an_address_that_makes_no_sense_is_told_at_the_start(
    home: dict[str, str], given: dict[str, str], said: str
) -> None:
    with pytest.raises(BadSettings) as refused:
        Settings.from_env({**home, **given})
    assert said in str(refused.value)


@pytest.mark.parametrize("given", ["redis://[::1]:6379/0", "redis://:secret@[2001:db8::1]:6379"])
def test_an_ipv6_literal_in_brackets_is_an_address(home: dict[str, str], given: str) -> None:
    assert redis.Redis.from_url(
        Settings.from_env({**home, "REDIS_URL": given}).redis_url
    ).connection_pool.connection_kwargs["host"] in ("::1", "2001:db8::1")


def test_any_character_may_stand_in_the_path_of_the_state_directory(tmp_path: Path) -> None:
    odd = tmp_path / "a b#c%20d?é'q\"%"
    settings = Settings.from_env({"NOTIFIER_HOME": str(odd)})
    assert make_url(settings.database_url).database == str(odd / "notifier.db")
    assert sqlite_file(settings.database_url) == odd / "notifier.db"
    assert redis.Redis.from_url(settings.redis_url).connection_pool.connection_kwargs["path"] == str(
        embedded_redis.socket_path(odd)
    )


@pytest.mark.parametrize(
    ("sink", "targets", "is_taken"),
    [
        ("https://collector.example.com/x", "*.example.com", True),
        ("https://203.0.113.7/x", "203.0.113.0/24", True),
        ("https://collector.test/x", "*.example.com", False),
        ("https://collector.test/x", "203.0.113.0/24", True),  # told when it is connected to
        ("kafka://a.example.com,b.test/topic", "*.example.com", False),
        ("kafka://a.example.com:9092,b.example.com/topic", "*.example.com", True),
        ("https://collector.test/x", "", True),
    ],
)
def test_the_sink_must_be_on_the_list_of_targets(tmp_path: Path, sink: str, targets: str, is_taken: bool) -> None:
    given = {"NOTIFIER_HOME": str(tmp_path), "EVENTS_SINK": sink, "WEBHOOK_TARGETS": targets}
    if is_taken:
        assert Settings.from_env(given).events_sink is not None
        return
    with pytest.raises(BadSettings, match="EVENTS_SINK leads to a host that WEBHOOK_TARGETS does not name"):
        Settings.from_env(given)


def test_targets_that_make_no_sense_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match=r"WEBHOOK_TARGETS: this is no target: https://a\.test"):
        Settings.from_env({"NOTIFIER_HOME": str(tmp_path), "WEBHOOK_TARGETS": "b.test, https://a.test"})


OIDC = {"OIDC_ISSUER": "https://login.acme.example", "OIDC_CLIENT_ID": "notifier"}


def test_an_openid_provider_is_read_with_what_goes_with_it(home: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2\n")
    given = {"OIDC_CLIENT_SECRET_FILE": str(tmp_path / "secret"), "OIDC_ROLES": "groups: ops=operator"}
    settings = Settings.from_env({**home, **OIDC, **given, "LOCAL_SIGN_IN": "Root@acme.example, b@acme.example"})
    ours = settings.oidc_issuer
    assert ours is not None
    assert (ours.client_secret, ours.name) == ("hunter2", "login.acme.example")
    assert ours.roles is not None
    assert settings.local_sign_in == {"root@acme.example", "b@acme.example"}
    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"OIDC_CLIENT_ID": "notifier"}, "OIDC_CLIENT_ID is of no use without OIDC_ISSUER"),
        ({**OIDC, "OIDC_CLIENT_ID": ""}, "OIDC_CLIENT_ID is required with OIDC_ISSUER"),
        ({**OIDC, "OIDC_ISSUER": "login.acme.example"}, "OIDC_ISSUER must start with https:// or http://"),
        ({**OIDC, "OIDC_ISSUER": "https://a.example?x=1"}, "OIDC_ISSUER must be the provider's address"),
        ({**OIDC, "OIDC_ROLES": "ops"}, "OIDC_ROLES must be like"),
        ({**OIDC, "OIDC_ROLES": "groups: ops=root"}, "OIDC_ROLES names the role 'root'"),
        ({**OIDC, "LOCAL_SIGN_IN": "off"}, "LOCAL_SIGN_IN must be on, or the e-mails"),
        ({"LOCAL_SIGN_IN": "root@acme.example"}, "LOCAL_SIGN_IN can name accounts only with OIDC_ISSUER"),
    ],
)
def test_an_openid_provider_that_makes_no_sense_is_refused(
    home: dict[str, str], given: dict[str, str], fault: str
) -> None:
    with pytest.raises(BadSettings) as caught:
        Settings.from_env({**home, **given})
    assert fault in str(caught.value)


PRICES = {"SMS_SEGMENT_PRICE": "0.075 EUR", "VOICE_CALL_PRICE": "0.10 EUR"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"SPEND_LIMIT": "50 EUR"}, "SPEND_LIMIT needs SMS_SEGMENT_PRICE and VOICE_CALL_PRICE in EUR"),
        ({"SPEND_LIMIT": "50 USD", **PRICES}, "SPEND_LIMIT needs SMS_SEGMENT_PRICE and VOICE_CALL_PRICE in USD"),
        ({"SPEND_LIMIT": "fifty EUR", **PRICES}, "SPEND_LIMIT must be an amount and a currency"),
        ({"VOICE_CALL_PRICE": "x"}, "VOICE_CALL_PRICE must be an amount"),
        ({"SMS_SEGMENT_PRICE": "0.1 EUR", "VOICE_CALL_PRICE": "0.1 USD"}, "must be in the same currency"),
        ({"MESSAGE_PRICES": "email 0.0004"}, "MESSAGE_PRICES: email must end in a currency"),
        ({"MESSAGE_PRICES": "email 1 USD", "SMS_SEGMENT_PRICE": "0.1 EUR"}, "must be in the same currency"),
        ({"PHONE_COUNTRIES": "DE, Austria"}, "PHONE_COUNTRIES: AUSTRIA is no country"),
        ({"NEW_PHONES_LIMIT": "often"}, "NEW_PHONES_LIMIT must be like 100/hour"),
    ],
)
def test_limits_that_make_no_sense_are_named(tmp_path: Path, given: dict[str, str], said: str) -> None:
    with pytest.raises(BadSettings, match=said):
        Settings.from_env({"NOTIFIER_HOME": str(tmp_path), **given})


def test_limits_of_money_and_countries_are_read(tmp_path: Path) -> None:
    given = {"SPEND_LIMIT": "50 EUR", "PHONE_COUNTRIES": "de, AT", **PRICES}
    settings = Settings.from_env({"NOTIFIER_HOME": str(tmp_path), **given})
    assert settings.spend_limit == Ceiling(50_000_000, "EUR")
    assert settings.phone_countries == {"AT", "DE"}
    assert {unit: str(price.amount) for unit, price in settings.prices.items()} == {"segment": "0.075", "call": "0.10"}
