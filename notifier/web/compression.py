"""Pages are compressed for browsers that take gzip: the preferences of many types are long, and shrink to a tenth.

Who can make somebody's browser load a page again and again, with words of their own in it, could guess the form token
in it from the sizes (BREACH, CVE-2013-3587). So each answer is longer by a random number of bytes, in the name of the
file that gzip allows for ("Heal the BREACH", 2022; as Django does it).
"""

import gzip
import io
import secrets

from flask import Flask, Response, request

_WORTH_IT = 1_024  # bytes
_MOST_PADDING = 100
_LEVEL = 5


def init_app(app: Flask) -> None:
    app.after_request(_compress)


def _compress(response: Response) -> Response:
    if response.mimetype != "text/html" or response.is_streamed or "Content-Encoding" in response.headers:
        return response
    response.vary.add("Accept-Encoding")
    page = response.get_data()
    if len(page) >= _WORTH_IT and request.accept_encodings["gzip"] > 0:
        response.set_data(_gzipped(page))
        response.headers["Content-Encoding"] = "gzip"
    return response


def _gzipped(page: bytes) -> bytes:
    padding = "x" * secrets.randbelow(_MOST_PADDING + 1)
    into = io.BytesIO()
    with gzip.GzipFile(padding, "wb", _LEVEL, into, mtime=0) as packed:
        packed.write(page)
    return into.getvalue()
