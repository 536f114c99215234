"""Serves the example of docs/embedding.md, as a site of its own: `.venv/bin/python -m docs.embedding.serve USER KEY`.

USER is a user's id, KEY a producer's key with the scope `users`. It stands for a shop with its own server and its own
sign-in.
"""

import argparse
import json
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import quote

HERE = Path(__file__).resolve().parent
FILES = {"/shop.js": "text/javascript", "/shop.css": "text/css"}


def token_for(server: str, user: str, key: str, expires_in_s: int) -> str:
    """What a shop's server does for the person who has signed in there; the key never reaches the browser."""
    request = urllib.request.Request(
        f"{server}/api/v1/users/{quote(user)}/token",
        data=json.dumps({"expires_in": expires_in_s}).encode(),
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(json.load(answer)["token"])


def policy(server: str) -> str:
    """The least that the inbox needs of a page's Content-Security-Policy: scripts and connections to where Notifier
    runs.
    """
    socket = server.replace("http", "ws", 1)
    return (
        f"default-src 'none'; style-src 'self'; img-src https:; script-src 'self' {server}; connect-src 'self' "
        f"{server} {socket}"
    )


def shop(server: str, user: str, key: str, *, port: int, expires_in_s: int = 3600) -> ThreadingHTTPServer:
    """The site, not yet serving; on a free port for `port` 0."""

    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                self._serve()
            except urllib.error.URLError as error:
                self.send_error(502, f"Notifier gives no token for {user}: {error}")

        def _serve(self) -> None:
            if self.path == "/":
                page = Template((HERE / "index.html").read_text())
                self._answer(
                    "text/html", page.substitute(server=server, token=token_for(server, user, key, expires_in_s))
                )
            elif self.path == "/token":
                self._answer("text/plain", token_for(server, user, key, 3600))
            elif self.path in FILES:
                self._answer(FILES[self.path], (HERE / self.path[1:]).read_text())
            else:
                self.send_error(404)

        def _answer(self, kind: str, text: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Security-Policy", policy(server))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: Any) -> None:
            pass

    return ThreadingHTTPServer(("127.0.0.1", port), Site)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("user")
    arguments.add_argument("key")
    arguments.add_argument("--server", default="http://127.0.0.1:5000")
    arguments.add_argument("--port", type=int, default=8080)
    given = arguments.parse_args()
    site = shop(given.server, given.user, given.key, port=given.port)
    print(f"http://127.0.0.1:{site.server_port}/")
    site.serve_forever()


if __name__ == "__main__":
    main()
