"""Every code that a problem of the API may have, by status.

`api.errors` answers with them; the `type` of an answer leads to the page, which `web.person.problems` shows.
"""

from notifier.core.problems.of_callers import OF_CALLERS
from notifier.core.problems.of_requests import OF_REQUESTS
from notifier.core.problems.problem import Problem

PROBLEMS: dict[str, Problem] = dict(
    sorted({**OF_REQUESTS, **OF_CALLERS}.items(), key=lambda problem: problem[1].status)
)
