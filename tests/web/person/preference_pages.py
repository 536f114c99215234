"""What a browser would send of the preference page's forms if nothing were touched."""

import re
from typing import Any


def form_of(page: str, part: str) -> dict[str, Any]:
    [form] = re.findall(rf'<form[^>]*>\s*<input type="hidden" name="part" value="{part}">.*?</form>', page, re.DOTALL)
    fields: dict[str, Any] = {"part": part}
    for tag in re.findall(r"<input[^>]*>", form):
        name, value, kind = (_attribute(tag, key) for key in ("name", "value", "type"))
        if name in (None, "part", "csrf_token") or (
            kind in ("checkbox", "radio") and not re.search(r"\schecked\b", tag)
        ):
            continue
        fields.setdefault(name, []).append(value or "")
    for name, options in re.findall(r'<select[^>]* name="([^"]+)".*?>(.*?)</select>', form, re.DOTALL):
        [(value, text)] = re.findall(r'<option(?: value="([^"]*)")? selected>([^<]*)', options)
        fields[name] = [value or text]
    fields.setdefault("on", []) if part == "choices" else None
    return fields


def undo_of(page: str) -> dict[str, Any]:
    """What the button in the word about saving sends."""
    [events] = re.findall(r'name="events" value="([^"]+)"', page)
    return {"part": "undo", "events": events}


def _attribute(tag: str, name: str) -> str | None:
    found = re.search(rf'\s{name}="([^"]*)"', tag)
    return found[1] if found else None
