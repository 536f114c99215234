"""The problems with what is asked, and ours."""

from notifier.core.problems.problem import Problem

OF_REQUESTS: dict[str, Problem] = {
    "bad_request": Problem(
        400,
        "Bad request",
        "The request is broken before its content matters.",
        ("A header or the address holds something that HTTP does not allow.", "The body ended before it was complete."),
        ("Read `detail`, and send the request again without what it names.",),
        "the body ended before its announced length",
    ),
    "malformed_json": Problem(
        400,
        "Malformed JSON",
        "The body cannot be read as JSON. Nothing was stored.",
        (
            "A comma, quote or bracket is missing, or one is too many; `detail` says where.",
            "The body is not UTF-8, or is nested too deeply.",
            'In a shell, the quotes around the body were eaten: `-d {"type"…}` without single quotes.',
        ),
        ("Make the body with a JSON library instead of by hand.",),
        "the body is not valid JSON: Expecting ',' delimiter in line 1, column 24",
    ),
    "unreadable_receipt": Problem(
        400,
        "Not what the provider's documents describe",
        "A provider called its hook with a body that its adapter cannot read. The signature was right.",
        ("The provider sends another kind of event to this address.", "The provider changed the form of its events."),
        (
            "Compare the events chosen at the provider with those that `docs/providers.md` names.",
            "The account's page in the console shows calls that were not taken, and why.",
        ),
        "the body is not what the provider's documents describe",
    ),
    "unknown_proxy": Problem(
        400,
        "This came through a proxy that Notifier does not know",
        "In production, Notifier refuses requests with `X-Forwarded-For` or `Forwarded` until it knows how many "
        "proxies stand in front: otherwise all clients would look like one.",
        ("There is a load balancer or reverse proxy, and `TRUSTED_PROXIES` is 0.",),
        (
            "Set `TRUSTED_PROXIES` to the number of proxies in front of every web process, and restart them.",
            "`python -m notifier doctor` counts them.",
        ),
        "X-Forwarded-For and Forwarded are refused in production while TRUSTED_PROXIES is 0.",
    ),
    "not_found": Problem(
        404,
        "Not found",
        "There is no such thing, or it belongs to somebody else: the answer is the same on purpose.",
        (
            "The address is misspelt, or the id was cut off.",
            "A notification of another producer, which only keys with the scope `admin` can read.",
            "It was deleted, as `RETENTION` says.",
            "A test key looks for live people, or the other way round.",
        ),
        ("Compare the id with the answer that named it.", "`GET /api/docs` lists all calls."),
        "there is no ntf_01jabcdefghjkmnpqrstvwxyz0",
    ),
    "method_not_allowed": Problem(
        405,
        "Method not allowed",
        "The address exists, but not with this method. `Allow` names those that it has.",
        ("A GET where a POST is needed, or the other way round.", "A redirect turned a POST into a GET."),
        ("Use a method that `Allow` names.", "Call `PUBLIC_URL` by https directly, so that nothing redirects."),
        "The method is not allowed for the requested URL.",
    ),
    "conflict": Problem(
        409,
        "Conflict",
        "The request is in order, but not for the state in which the thing is now.",
        (
            "Somebody else changed or published it meanwhile.",
            "A broadcast that is cancelled or finished cannot be resumed.",
            "It is in use, for instance an image that a template shows.",
        ),
        ("Read it again, and decide anew.",),
        "a broadcast that is finished cannot be paused",
    ),
    "too_many": Problem(
        409,
        "There are too many already",
        "There is a limit to how many of these one producer may have, and it is reached.",
        ("Status webhooks are registered again and again instead of being changed.",),
        ("List them, delete those that nobody uses, or change one with `PATCH`.",),
        "a producer has at most 1,000 subscriptions; delete one first",
    ),
    "idempotency_in_progress": Problem(
        409,
        "The first request with this key is still in progress",
        "Two requests with the same idempotency key came at once, and the first has no answer yet.",
        ("The client repeated a request that it thought lost.",),
        ("Wait for `Retry-After` and send the same request again: it gets the first one's answer.",),
        "a request with this idempotency key is still in progress",
    ),
    "nothing_to_cancel": Problem(
        409,
        "There is nothing left to cancel",
        "Every message of the notification has gone out, ended or been cancelled.",
        ("It was cancelled before.", "It was due already."),
        ("Look at the statuses: `GET /api/v1/notifications/{id}`.", "To send later, give `send_at`."),
        "there is nothing left to cancel in this notification",
    ),
    "cursor_expired": Problem(
        410,
        "What follows the cursor has been deleted",
        "A reader of the event stream was away for longer than events are kept, or the database was restored.",
        ("Events are kept for as long as `RETENTION` says (14 days by default).",),
        (
            "Leave `after` out to begin with the oldest event.",
            "What was missed is still with each notification: `GET /api/v1/notifications`.",
        ),
        "events after this cursor have been deleted; leave `after` out to begin with the oldest",
    ),
    "body_too_large": Problem(
        413,
        "The body is too large",
        "Bodies may have 1 MiB; lists of people 200 MB, images 5 MB.",
        ("A bulk call holds too much data, or an image is sent inside JSON.",),
        (
            "Send fewer notifications in one call, up to 1,000.",
            "Upload images at `/admin/images` and send their addresses.",
            "A large audience is a broadcast or an uploaded list, not a list of recipients.",
        ),
        "The data value transmitted exceeds the capacity limit.",
    ),
    "unsupported_media_type": Problem(
        415,
        "Unsupported media type",
        "The body is of another kind than the call takes.",
        (
            "The body is compressed (`Content-Encoding`).",
            "An uploaded list is not `text/csv` in UTF-8.",
        ),
        (
            "Send the body as it is, without compressing it.",
            "For a list, send the file itself, as `text/csv`.",
        ),
        "bodies are read as they are: send it without Content-Encoding ('gzip')",
    ),
    "validation_failed": Problem(
        422,
        "The request is not valid",
        "The JSON was read, but does not fit. Nothing was stored. `errors` names every fault: `pointer` is the place "
        "in the body (JSON pointer), `code` the kind, `message` a sentence.",
        (
            "`missing`: a required field is not there. `unknown_field`: there is no such field.",
            "`wrong_type`, `invalid_format`, `too_long`, `too_small`, `not_one_of` and their like: the value is wrong.",
            "At `/data/…`: the data do not fit the schema of the event type, which `GET /api/v1/types/{key}` shows.",
            "`priority_too_high`, `urgent_not_allowed`: marketing is at most medium, social at most high; urgent "
            "needs the scope `urgent`.",
            "`unknown_channel`, `unknown_template`, `unknown_event`: there is none of that name.",
        ),
        (
            "Mend what `errors` names. In a bulk call, only the named items were refused; the others are accepted.",
            "`?dry_run=true` checks a submission without sending it.",
        ),
        "this is required",
        "/data/order_id",
        "missing",
    ),
    "unknown_type": Problem(
        422,
        "There is no such event type",
        "No event type has that key. A similar one is named, if there is one.",
        ("The key is misspelt.", "The type was not created on this installation."),
        (
            "`GET /api/v1/types` lists them.",
            "Create it: `PUT /api/v1/types/{key}`, or `/admin/types` in the console.",
        ),
        "there is no event type 'order_shiped'; did you mean 'order_shipped'? GET /api/v1/types lists them",
        "/type",
        "unknown_type",
    ),
    "unknown_user": Problem(
        422,
        "There is no such user",
        "A recipient is not known here. Nobody was notified.",
        ("The person was never created, or was erased.", "An e-mail or a phone number was sent instead of an id."),
        (
            'Send an object: `{"id": "ann", "email": "ann@example.com"}` creates the person in the same call.',
            "Or create people beforehand: `PUT /api/v1/users/{id}`.",
        ),
        'there is no user \'ann@example.com\'; to create one in the same call, send {"id": "…", "email": "…"} instead',
        "/recipients/0",
        "unknown_user",
    ),
    "idempotency_mismatch": Problem(
        422,
        "The idempotency key was used with another body",
        "An idempotency key stands for one request. This one was used for another in the last 24 hours.",
        ("The key is made from too little, such as the type alone.", "The body holds the time, and so differs."),
        (
            "Make the key from what the event is: `order-A123-shipped`.",
            "To repeat a request, send the same bytes again.",
        ),
        "this idempotency key was used with another body",
    ),
    "rate_limited": Problem(
        429,
        "Too many requests",
        "A limit is used up. `RateLimit-Policy` says which; `Retry-After` says in how many seconds there is room.",
        (
            "A key has a limit of notifications a minute (`RATE_LIMIT`); a bulk call costs as many as it holds.",
            "Calls without a key count for the network address. So do wrong keys.",
        ),
        (
            "Wait for `Retry-After`, then go on.",
            "For a large audience use a broadcast: it counts once.",
        ),
        "at most 200000/minute; this call costs 1000",
    ),
    "internal_error": Problem(
        500,
        "Internal error",
        "Something went wrong in Notifier, and that is a bug.",
        ("The log has the trace, under the `request_id` of the answer.",),
        (
            "Send the same request again, with the same idempotency key: nothing is done twice.",
            "If it happens again, report it with the trace.",
        ),
        "something went wrong here; the log has the details",
    ),
    "unavailable": Problem(
        503,
        "Temporarily unavailable",
        "The database cannot be reached or written to, or a check took too long. Nothing was stored.",
        ("The database is down, is being restarted, or its disk is full.", "The machine is overloaded."),
        (
            "Send the same request again after `Retry-After`, with an idempotency key.",
            "Operators: `/readyz` says what is wrong, and `python -m notifier doctor` what to do.",
        ),
        "the database cannot be reached; nothing was stored",
    ),
}
