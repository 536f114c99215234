"""The HTML of a mail for a frame in a page of the console. It is not ours: its response has a policy of its own, which
allows styles and pictures, but no script.
"""

from flask import Response

_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data: https:; font-src https: data:; form-action "
    "'none'; frame-ancestors 'self'; "
    "sandbox allow-popups allow-popups-to-escape-sandbox"
)
# Links leave the frame: the page around it forbids every other document inside.
_BASE = '<base target="_blank">'


def framed(html: str) -> Response:
    document = html.replace("<head>", f"<head>{_BASE}", 1) if "<head>" in html else _BASE + html
    return Response(
        document,
        mimetype="text/html",
        headers={"Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer"},
    )
