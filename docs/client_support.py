"""Makes notifier/catalogue/client_support.json, by which templates are looked through for what mail programs drop:
`make client-support`, which fetches the data of caniemail.com (MIT licence) from npm first.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

MADE = Path(__file__).resolve().parent.parent / "notifier" / "catalogue" / "client_support.json"
PROGRAMS = {
    "Gmail": ("gmail", "desktop-webmail"),
    "Outlook": ("outlook", "windows"),
    "Apple Mail": ("apple-mail", "ios"),
}
KINDS = (
    ("properties", re.compile(r"([a-z-]+)(?: (?:property|CSS property|shorthand))?")),
    ("declarations", re.compile(r"([a-z-]+: ?[a-z-]+)")),
    ("at_rules", re.compile(r"(@[a-z-]+)")),
    ("elements", re.compile(r"<([a-z0-9]+)> element")),
)
# Which do no harm where they are dropped, or are no use to look for
LEFT_OUT = {"@media", "abbr", "acronym", "bdi", "wbr", "word-wrap", "white-space"}


def main(package: Path) -> None:
    """`package`: the folder of the npm package `caniemail`."""
    data = json.loads((package / "data" / "caniemail.json").read_text())
    version = json.loads((package / "package.json").read_text())["version"]
    made: dict[str, Any] = {"source": f"caniemail.com, npm caniemail {version}", "date": data["last_update_date"][:10]}
    made |= {kind: {} for kind, _ in KINDS}
    for feature in data["data"]:
        dropped_by = [name for name, place in PROGRAMS.items() if _is_dropped(feature["stats"], *place)]
        for kind, pattern in KINDS:
            found = pattern.fullmatch(feature["title"].strip())
            if found and dropped_by and found[1] not in LEFT_OUT:
                made[kind][found[1].replace(": ", ":")] = dropped_by
    MADE.write_text(json.dumps(made, indent=1, sort_keys=True) + "\n")


def _is_dropped(stats: dict[str, Any], family: str, platform: str) -> bool:
    """By the newest version that was tried."""
    tried = stats.get(family, {}).get(platform, {})
    return bool(tried) and list(tried.values())[-1].startswith("n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
