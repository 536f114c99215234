"""Apprise: its services call through our client, whatever their URLs ask for."""

import ast
import inspect
import json
import logging
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from notifier.channels.adapters.apprise import READ_FILES, Apprise, _library
from notifier.channels.wire.http import Http
from notifier.core.errors import DeliveryError, InvalidRecipient, Permanent, RateLimited, Retryable
from notifier.core.message import Content, Receipt, Recipient


@pytest.fixture
def everywhere(secure_sink: Any, authority: Any) -> Iterator[Http]:
    """Every host is the sink."""
    http = Http(
        [ip_network("127.0.0.0/8")],
        resolve=lambda host, port: [("127.0.0.1", secure_sink.port)],
        tls=authority.trusted(),
        read_s=0.3,
    )
    yield http
    http.close()


def failure(http: Http, url: str, message: Any) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        Apprise({}, http).send(message, Recipient(url))
    return caught.value


def test_a_message_is_sent(everywhere: Http, secure_sink: Any, make_message: Any) -> None:
    receipt = Apprise({}, everywhere).send(make_message(), Recipient("ntfys://push.example.com/orders"))
    [request] = secure_sink.requests
    assert receipt == Receipt("sent")
    assert request.headers["x-request-id"] == make_message().delivery_id
    assert (request.headers["host"], json.loads(request.body)) == (
        "push.example.com",
        {
            "topic": "orders",
            "title": "On its way",
            "message": "Your order A123 is on its way.\n\nhttps://shop.test/track/A123",
        },
    )


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (400, {}, (Permanent, "http_400")),
        (401, {}, (InvalidRecipient, "http_401")),
        (404, {}, (InvalidRecipient, "http_404")),
        (429, {"Retry-After": "9"}, (RateLimited, "http_429")),
        (500, {}, (Retryable, "http_500")),
        (302, {"Location": "https://169.254.169.254/"}, (Permanent, "http_302")),
    ],
)
def test_an_answer_means_what_it_means_elsewhere(
    status: int, headers: dict[str, str], expected: Any, everywhere: Http, secure_sink: Any, make_message: Any
) -> None:
    secure_sink.answers(status, headers)
    error = failure(everywhere, "jsons://hooks.example.com/x?redirect=yes", make_message())
    assert (type(error), error.code) == expected
    assert len(secure_sink.requests) == 1, "no redirect is followed"


def test_a_service_that_breaks_at_the_answer_may_have_sent_it(
    everywhere: Http, secure_sink: Any, make_message: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _library()

    def notify(self: Any, **_: Any) -> bool:
        import requests  # noqa: PLC0415

        requests.post("https://hooks.example.com/x", data=b"{}", timeout=1)
        raise KeyError("s3cret")

    monkeypatch.setattr("apprise.plugins.custom_json.NotifyJSON.notify", notify)
    error = failure(everywhere, "jsons://hooks.example.com/x", make_message())
    assert (type(error), error.code, error.ambiguous) == (Retryable, "not_understood", True)
    assert "s3cret" not in str(error)


def test_silence_is_ambiguous(everywhere: Http, secure_sink: Any, make_message: Any) -> None:
    secure_sink.hangs()
    error = failure(everywhere, "jsons://hooks.example.com/x", make_message())
    assert isinstance(error, Retryable)
    assert error.ambiguous


@pytest.mark.parametrize(
    "url",
    [
        "jsons://169.254.169.254/latest/meta-data",
        "json://127.0.0.1/",
        "jsons://localhost/",
        "ntfys://[::1]/orders",
        "jsons://10.0.0.1/?verify=no",
    ],
)
def test_a_private_host_is_not_reached(url: str, make_message: Any) -> None:
    http = Http()
    error = failure(http, url, make_message())
    assert (type(error), error.code) == (Permanent, "target_refused")
    http.close()


def test_an_untrusted_certificate_is_refused_whatever_the_url_says(secure_sink: Any, make_message: Any) -> None:
    http = Http([ip_network("127.0.0.0/8")], resolve=lambda host, port: [("127.0.0.1", secure_sink.port)])
    error = failure(http, "jsons://hooks.example.com/x?verify=no", make_message())
    assert (type(error), error.code) == (Retryable, "tls")
    assert secure_sink.requests == []
    http.close()


@pytest.mark.parametrize(
    "url",
    [
        "syslog://", "rsyslog://127.0.0.1", "dbus://", "glib://", "gnome://", "macosx://", "windows://", "growl://x",
        "mailto://me:secret@example.com", "mqtt://x/y", "amqp://x/y", "irc://x/y", "xmpp://a:b@x", "smpp://a:b@x/1/2",
        "vapid://me@example.com/x", "fcm://project@key/x?keyfile=/etc/passwd", "file:///etc/passwd", "unheard://x/y",
        "json://", "aprs://x:y@z",
    ],
)  # fmt: skip
def test_a_service_that_is_not_called_by_http_is_refused(url: str, everywhere: Http, make_message: Any) -> None:
    assert isinstance(failure(everywhere, url, make_message()), InvalidRecipient)


def test_no_service_in_use_reaches_past_requests() -> None:
    """The library's own source is read: the modules of each service import nothing that connects or runs programs."""
    library, schemas = _library()
    from apprise.manager_plugins import NotificationManager  # noqa: PLC0415

    forbidden = {
        *("socket", "ssl", "smtplib", "subprocess", "asyncio", "ctypes", "http", "httpx", "urllib3", "aiohttp"),
        *("websocket", "websockets", "paho", "pika", "proton", "slixmpp", "smpplib", "gntp", "dbus", "gi", "hid"),
        *("syslog", "multiprocessing", "pty", "telnetlib", "ftplib", "imaplib", "poplib", "paramiko", "win32api"),
    }
    plugins = Path(library.__file__).parent / "plugins"
    used = {NotificationManager()[schema] for schema in schemas}
    assert len(used) > 150
    for service in used:
        source = Path(inspect.getfile(service))
        files = [source] if source.parent == plugins else [*source.parent.glob("*.py")]
        imported = {name for file in files for name in _imports(file)}
        assert not imported & forbidden, service.__name__


def _imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield str(node.module).partition(".")[0]


def test_no_file_is_read_as_a_template(everywhere: Http, secure_sink: Any, make_message: Any, tmp_path: Path) -> None:
    secret = tmp_path / "template.json"
    secret.write_text('{"text": "s3cret {{app_body}}"}')
    url = f"workflow://host.example.com/workflow/signature?template={secret}"
    with pytest.raises(DeliveryError):
        Apprise({}, everywhere).send(make_message(), Recipient(url))
    assert secure_sink.requests == []
    assert {"NotifyFCM", "NotifyVapid"} <= READ_FILES


def test_the_library_does_not_sleep_between_its_calls(
    everywhere: Http, secure_sink: Any, make_message: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _library()
    sleeps: list[float] = []
    monkeypatch.setattr("apprise.url.time", SimpleNamespace(sleep=sleeps.append))
    Apprise({}, everywhere).send(make_message(), Recipient("ntfys://push.example.com/one/two/three"))
    assert (len(secure_sink.requests), sleeps) == (3, [])


def test_the_library_tells_no_secret(everywhere: Http, make_message: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for url in ("bad://u:s3cret@x", "pover://user@s3cret", "jsons://u:s3cret@169.254.169.254/y", "ntfys://s3cret:x@"):
        assert "s3cret" not in str(failure(Http(), url, make_message()))
    assert "s3cret" not in caplog.text


def test_nothing_but_a_message_of_ours_uses_the_transport(everywhere: Http, secure_sink: Any) -> None:
    import requests  # noqa: PLC0415

    _library()
    with pytest.raises(requests.ConnectionError):
        requests.get("https://push.example.com/", timeout=1)
    assert secure_sink.requests == []


def test_a_scope_names_the_service_and_hides_the_host() -> None:
    scopes = [
        Apprise({}, Http()).scope(Recipient(url)) for url in ("pover://user@s3cret", "ntfys://a/b", "ntfys://a/c")
    ]
    assert scopes[1] == scopes[2]
    assert scopes[0].startswith("apprise:pover:")
    assert "s3cret" not in str(scopes)


def test_a_message_without_text_is_no_bug(everywhere: Http, make_message: Any) -> None:
    with pytest.raises(Permanent):
        Apprise({}, everywhere).send(make_message(content=Content("", "")), Recipient("ntfys://push.example.com/o"))
