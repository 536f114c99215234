"""What REDIS_URL may be, and the sentence for what it may not be: it quotes no password."""

from pathlib import Path
from typing import Any

import pytest
import redis

from notifier.ground.redis_urls import RedisTarget, parse_redis, passwords_of

TWO = (("h1", 26379), ("h2", 26380))


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("redis://h:1/2", RedisTarget(redis.Connection, {"host": "h", "port": 1, "db": 2})),
        ("rediss://u:p%40@h", RedisTarget(redis.SSLConnection, {"host": "h", "username": "u", "password": "p@"})),
        ("unix:///a/b.sock", RedisTarget(redis.UnixDomainSocketConnection, {"path": "/a/b.sock"})),
        ("redis+sentinel://h1,h2:26380/3?service=m", RedisTarget(redis.Connection, {"db": 3}, TWO, "m")),
        ("redis+sentinel://h1,h2:26380?service=m", RedisTarget(redis.Connection, {}, TWO, "m")),
        ("redis+sentinel://[::1]:1/0?service=m", RedisTarget(redis.Connection, {"db": 0}, (("::1", 1),), "m")),
        (
            "redis+sentinel://u:p%2C@h1,h2:26380/0?service=m&sentinel_username=v&sentinel_password=q%26",
            RedisTarget(
                redis.Connection,
                {"db": 0, "username": "u", "password": "p,"},
                TWO,
                "m",
                {"username": "v", "password": "q&"},
            ),
        ),
        (
            "rediss+sentinel://h1,h2:26380/0?service=m&ssl_cert_reqs=none",
            RedisTarget(
                redis.SSLConnection,
                {"db": 0, "ssl_cert_reqs": "none"},
                TWO,
                "m",
                {"ssl": True, "ssl_cert_reqs": "none"},
            ),
        ),
    ],
)
def test_it_says_where_redis_is(url: str, target: RedisTarget) -> None:
    assert parse_redis(url) == target


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://:hunter2@h", "must start with redis:// or rediss:// or unix:// or redis+sentinel:// or "),
        ("redis://:hunter2@::1:6379", "is not a URL; an IPv6 address must be in brackets"),
        ("redis+sentinel://:hunter2@h1:26379/0", "must name the master that the Sentinels watch: …/0?service="),
        ("redis+sentinel://h1:26379,/0?service=m", "must name the Sentinels as host:port"),
        ("redis+sentinel://h1:99999/0?service=m", "must name the Sentinels as host:port"),
        ("redis+sentinel:///0?service=m", "must name the Sentinels as host:port"),
        ("redis://h/0?colour=hunter2", "has a parameter that nothing reads: colour"),
        ("redis://h/0?ssl_ca_certs=/ca.pem", "names a file that cannot be read: ssl_ca_certs"),
        ("rediss://h/0?ssl_cert_reqs=hunter2", "has a parameter that makes no sense"),
        ("redis://h/0?socket_timeout=hunter2", "has a parameter that makes no sense"),
    ],
)
def test_what_makes_no_sense_is_told_in_a_sentence_without_secrets(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"^[a-z]") as refused:
        parse_redis(url)
    assert said in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_a_parameter_of_tls_makes_no_sense_without_it(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    with pytest.raises(ValueError, match="nothing reads: ssl_ca_certs"):
        parse_redis(f"redis://h/0?ssl_ca_certs={tmp_path / 'ca.pem'}")


@pytest.mark.parametrize(
    ("url", "passwords"),
    [
        ("redis://h", []),
        ("redis://u:a%40b@h/0?ssl_password=key", ["a%40b", "a@b", "key"]),
        ("redis+sentinel://:one@h1,h2/0?service=m&sentinel_password=two", ["one", "one", "two"]),
        ("redis://[", []),
    ],
)
def test_all_its_passwords_are_known(url: str, passwords: list[str]) -> None:
    assert passwords_of(url) == passwords


def test_no_password_is_in_how_a_target_is_shown() -> None:
    target: Any = parse_redis("redis+sentinel://:hunter2@h1/0?service=m&sentinel_password=hunter2")
    assert "hunter2" not in repr(target)
