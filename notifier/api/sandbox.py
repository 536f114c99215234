"""Messages that the sandbox captured instead of sending."""

from flask import Response, g

from notifier.api.answers import answer, check_cursor
from notifier.api.auth import Door, allow
from notifier.api.schemas.sandbox import CapturePage, CapturesQuery
from notifier.queries import captures as queries

bp = Door("api_sandbox", __name__, url_prefix="/api/v1/sandbox", tag="Sandbox")


@bp.get("")
@allow("admin")
@bp.input(CapturesQuery, location="query")
@bp.output(CapturePage)
def list_captures(query_data: CapturesQuery) -> Response:
    """Captured messages, newest first

    A test key sees only those of its own people. For a live key, `test` marks the messages sent with a test key.
    """
    check_cursor(queries.KIND, query_data.after)
    data, following = queries.list_captures(
        with_secrets=True,
        tests_only=g.key.is_test,
        user=query_data.user,
        channel=query_data.channel,
        after=query_data.after,
        limit=query_data.limit,
    )
    return answer({"data": data, "next": following})
