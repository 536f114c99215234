"""PUBLIC_URL, with which links in messages begin: does it lead here, at least from this machine, by https, and
through as many proxies as are trusted?
"""

import ipaddress
from collections.abc import Iterator
from urllib.parse import urlsplit

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ReadTimeoutError,
    SSLError,
)

from notifier.ground.config import FORWARDED_HEADER, INSTALLATION_HEADER, Settings
from notifier.programs.doctor.findings import Finding, fault, ok, warning
from notifier.programs.doctor.patient import Patient

_PATIENCE = urllib3.Timeout(connect=3.0, read=4.0)
_LONGEST_ANSWER = 65_536


def public_url(patient: Patient) -> Iterator[Finding]:
    settings = patient.settings
    url = settings.public_url
    host = urlsplit(url).hostname or ""
    if not settings.has_secure_cookies and not is_local(host):
        complain = fault if settings.is_production else warning
        yield complain(
            f"{url} is not https: passwords and sessions can be read in transit",
            "Serve it over https, and set PUBLIC_URL to that address.",
        )
    if settings.is_production and is_local(host):
        yield warning(
            f"PUBLIC_URL is {url}: the links in messages work on this machine only",
            "Set PUBLIC_URL to the address people use.",
        )
    yield from _reached(settings, url)


def is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _reached(settings: Settings, url: str) -> Iterator[Finding]:
    answer = _ask(settings, url)
    if isinstance(answer, Finding):
        yield answer
        return
    yield ok(f"{url} leads here")
    yield from _proxies(settings, answer.headers.get(FORWARDED_HEADER, ""))


def _proxies(settings: Settings, named: str) -> Iterator[Finding]:
    """This request forwarded nobody, so what was named are the proxies that it came through."""
    if not named.isdecimal() or int(named) == settings.trusted_proxies:
        return
    came = f"{settings.public_url} leads here through {named} {'proxy' if int(named) == 1 else 'proxies'}"
    trusted = f"TRUSTED_PROXIES is {settings.trusted_proxies}"
    complain = warning
    if settings.is_production and settings.trusted_proxies == 0:
        complain, harm = fault, "all requests that come that way are refused"
    elif int(named) > settings.trusted_proxies:
        harm = "everybody behind the unknown one shares its address, and its limits"
    else:
        harm = "strangers may claim any address"
    yield complain(f"{came}, but {trusted}: {harm}", f"Set TRUSTED_PROXIES to {named}, if people come that way, too.")


def _ask(settings: Settings, url: str) -> urllib3.BaseHTTPResponse | Finding:
    """The answer at that URL, and whether it is from this installation."""
    try:
        with urllib3.PoolManager() as pool:
            answer = pool.request(
                "GET", settings.link("healthz"), timeout=_PATIENCE, retries=False, redirect=False, preload_content=False
            )
            body = answer.read(_LONGEST_ANSWER)
    except (HTTPError, OSError) as error:
        remedy = (
            "Start it: python -m notifier web. If it is running, correct PUBLIC_URL, its name or the proxy before it."
        )
        return fault(f"{url} cannot be reached from here: {_why(error)}", remedy)
    if 300 <= answer.status < 400:
        return fault(
            f"{url} redirects to {answer.headers.get('location', 'nowhere')}", "Set PUBLIC_URL to where people end up."
        )
    mark = answer.headers.get(INSTALLATION_HEADER)
    if answer.status != 200 or b'"ok"' not in body or mark is None:
        return fault(
            f"something other than Notifier answers at {url}/healthz ({answer.status})",
            "Point PUBLIC_URL, or the proxy behind it, at Notifier's web process.",
        )
    if not settings.is_installation(mark):
        return fault(
            f"another Notifier answers at {url}",
            "Correct PUBLIC_URL; if it is this one, give all its processes the same SECRET_KEY.",
        )
    return answer


def _why(error: Exception) -> str:
    match error:
        case NameResolutionError():
            return "its name cannot be resolved"
        case NewConnectionError():
            return "nothing listens there"
        case TimeoutError() | ReadTimeoutError() | ConnectTimeoutError():
            return "no answer in time"
        case SSLError():
            return f"TLS failed ({' '.join(str(error).split())})"
        case _:
            return "the connection was lost"
