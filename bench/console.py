"""An operator's browser at the failed jobs, the overview and the search: how long each page takes, over HTTP and signed
in, as whole pages.
"""

import argparse
import http.client
import json
import re
import sys
import time
from http.cookies import SimpleCookie
from urllib.parse import urlencode

from bench import load

_TIMES = 5
_PAGES_DOWN = 10
TOKEN = re.compile(r'name="csrf_token"[^>]*value="([^"]+)"')
_NEXT = re.compile(r'href="([^"]+)"[^>]*rel="next"|rel="next"[^>]*href="([^"]+)"')
_JOB = re.compile(r"/admin/failed/(dlv_\w+)")

CHOICES = {
    "all": "",
    "queue": "queue=email.medium",
    "type": "type=order_shipped",
    "user": "user=person7",
    "within": "within=24h",
    "text": "text=mailbox",
    "text_nothing": "text=nowhere",
    "everything": "queue=email.medium&type=order_shipped&within=24h&text=mailbox",
}


class Operator:
    """One connection, with the cookies of whoever signed in on it."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        self.cookies: SimpleCookie = SimpleCookie()

    def sign_in(self, email: str, password: str) -> None:
        found = TOKEN.search(self.ask("GET", "/login"))
        if found is None:
            raise RuntimeError("the sign-in page has no form")
        self.ask(
            "POST", "/login", urlencode({"email": email, "password": password, "csrf_token": found[1]}), expected=303
        )

    def ask(self, method: str, path: str, body: str | None = None, *, expected: int = 200) -> str:
        headers = {"Cookie": "; ".join(f"{name}={morsel.value}" for name, morsel in self.cookies.items())}
        self.connection.request(method, path, body, {**headers, "Content-Type": "application/x-www-form-urlencoded"})
        answer = self.connection.getresponse()
        content = answer.read().decode()
        for line in answer.headers.get_all("Set-Cookie") or ():
            self.cookies.load(line)
        if answer.status != expected:
            raise RuntimeError(f"{method} {path}: {answer.status} {content[:300]!r}")
        return content

    def following(self, path: str, pages: int) -> str:
        """The address so many pages further down."""
        for _ in range(pages):
            found = _NEXT.search(self.ask("GET", path))
            if found is None:
                raise RuntimeError(f"there is no page after {path}")
            path = (found[1] or found[2]).replace("&amp;", "&")
        return path


def addresses(operator: Operator, registry_pages: int) -> dict[str, str]:
    """Every page there is, with every filter."""
    job = _JOB.search(operator.ask("GET", "/admin/failed/jobs"))
    if job is None:
        raise RuntimeError("nothing has failed")
    return {
        **{f"groups_{name}": f"/admin/failed?{query}" for name, query in CHOICES.items()},
        **{f"jobs_{name}": f"/admin/failed/jobs?{query}" for name, query in CHOICES.items()},
        "jobs_oldest": "/admin/failed/jobs?sort=failed",
        "jobs_deep": operator.following("/admin/failed/jobs", _PAGES_DOWN),
        "group": "/admin/failed/jobs?channel=email&provider=smtp&outcome=permanent&code=mailbox_7",
        "registry": "/admin/failed/registry",
        "registry_deep": f"/admin/failed/registry?page={registry_pages}",
        "job": f"/admin/failed/{job[1]}",
        "preview": "/admin/failed/actions/new?kind=retry",
        "preview_group": (
            "/admin/failed/actions/new?kind=retry&channel=email&provider=smtp&outcome=permanent&code=mailbox_7"
        ),
        "preview_text": "/admin/failed/actions/new?kind=retry&text=mailbox",
        "actions": "/admin/failed/actions",
        "overview": "/admin/",
        "overview_month": "/admin/?window=month",
        "queues": "/admin/queues",
        "search": "/admin/notifications?user=person7",
        "search_status": "/admin/notifications?status=failed",
        "search_nothing": "/admin/notifications?status=bounced",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Reads an e-mail address and a password on its input, in JSON.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--registry-pages", type=int, required=True)
    given = parser.parse_args()
    email, password = json.loads(sys.stdin.readline())
    operator = Operator(given.port)
    operator.sign_in(email, password)
    found: dict[str, dict[str, float]] = {}
    for kind, path in addresses(operator, given.registry_pages).items():
        took_s = []
        for _ in range(_TIMES):
            begun = time.monotonic()
            operator.ask("GET", path)
            took_s.append(time.monotonic() - begun)
        found[kind] = load.percentiles(took_s)
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
