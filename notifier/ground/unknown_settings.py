"""Variables that look like settings of ours and that nothing reads: misspelt, or of another release.

Called by `programs.starting`, which logs them.
"""

import difflib
import re
from collections.abc import Iterable, Mapping

from notifier.ground.config import COMMANDED, setting_names

_LIKENESS = 0.86  # one letter of seven left out, added or replaced; two of them exchanged
_OF_OPENTELEMETRY = "OTEL_"  # its library reads them
# The variables that Kubernetes sets for a service named notifier
_OF_KUBERNETES = re.compile(r"_SERVICE_HOST$|_(SERVICE_)?PORT(_|$)")


def unknown_settings(environ: Mapping[str, str], of_providers: Iterable[str]) -> dict[str, str | None]:
    """Variable → the setting it is likely to be meant for, if there is one that is spelled alike.

    `of_providers` are the settings that providers declare for themselves.
    """
    read = {*setting_names(), *of_providers}
    read |= {f"{name}_FILE" for name in read} | {f"{name}_COMMAND" for name in COMMANDED}
    found = {}
    for name in sorted(environ.keys() - read):
        if name.startswith(_OF_OPENTELEMETRY):
            continue
        nearest = difflib.get_close_matches(name, read, n=1, cutoff=_LIKENESS)
        is_ours = name.startswith("NOTIFIER_") and not _OF_KUBERNETES.search(name)
        if nearest or is_ours:
            found[name] = nearest[0] if nearest else None
    return found
