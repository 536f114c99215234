"""The problems with who is calling."""

from notifier.core.problems.problem import Problem

OF_CALLERS: dict[str, Problem] = {
    "unauthenticated": Problem(
        401,
        "A key is required",
        "The call needs somebody to make it, and says nobody.",
        (
            "There is no `Authorization` header, or it does not begin with `Bearer `.",
            "For calls of an inbox: the person's token has expired, or was ended.",
            "A proxy in front took the header away.",
        ),
        (
            "Send `Authorization: Bearer ` and the key. `python -m notifier create-producer NAME` makes one.",
            "For an inbox, get a new token with `POST /api/v1/users/{id}/token`.",
        ),
        "send the key, or an access token, as 'Authorization: Bearer <key>'",
    ),
    "invalid_key": Problem(
        401,
        "Unknown, expired or revoked key",
        "A key was sent, and it opens nothing. `detail` says how it begins, if it looks like a key at all.",
        (
            "The key was revoked, has expired, or its producer is disabled.",
            "It is a key of another installation, for instance of the test system.",
            "It was cut off or has a line break, as happens with environment variables.",
            "It is an access token of OAuth that has expired.",
        ),
        (
            "Compare how it begins with the producer's page in the console.",
            "Make a new key there: keys are shown once, and cannot be looked up.",
            "With OAuth, ask for a new token at `/oauth/token`.",
        ),
        "the key is unknown, expired or revoked; it begins with ntf_live_abcdefg",
    ),
    "unverified": Problem(
        401,
        "This cannot be shown to come from the provider",
        "A call of a provider's hook has no signature, or a wrong one. Nothing was stored.",
        (
            "The signing secret of the account is missing or is not the provider's.",
            "The provider calls another address than `PUBLIC_URL`, and signs that one.",
            "A proxy in front changes the body or the address.",
            "Somebody else called.",
        ),
        (
            "Copy the secret from the provider to the account at `/admin/providers`.",
            "Enter exactly the address that the account's page shows at the provider.",
        ),
        "this cannot be shown to come from the provider",
    ),
    "forbidden": Problem(
        403,
        "Not allowed",
        "Who calls is known, and may not do this.",
        ("The role or the key does not go so far.",),
        ("Ask an admin of the installation.",),
        "your role is viewer; this needs operator or admin",
    ),
    "scope_missing": Problem(
        403,
        "The key lacks a scope",
        "The key is valid, but was made for other calls. `WWW-Authenticate` and `detail` name the scope.",
        (
            "The call needs a scope that the key was made without.",
            '`"priority": "urgent"` needs the scope `urgent`.',
            "People with a role in the console, and mandatory types, can be changed only with the scope `admin`.",
        ),
        (
            "Make a key with the scope: on the producer's page, or `create-producer NAME --scope notify read`.",
            "Do not give all scopes to every key: whoever steals one gets them, too.",
        ),
        "this call needs the scope broadcast",
    ),
    "network_refused": Problem(
        403,
        "The key cannot be used from this address",
        "The key is limited to networks, and the caller is in none of them.",
        (
            "The program moved to another machine or network.",
            "Notifier sees the address of a proxy, because `TRUSTED_PROXIES` is wrong.",
        ),
        ("Add the network on the key's page.", "`detail` says which address was seen: compare it with the caller's."),
        "this key may not be used from 192.0.2.7",
    ),
    "test_key": Problem(
        403,
        "Not with a test key",
        "Test keys take the whole path, but change and see nothing that live keys use.",
        ("A key that begins with `ntf_test_` tried to change a type, a template or something else that all share.",),
        (
            "Use a live key (`ntf_live_`) for this call.",
            "To try a change without sending, use `?dry_run=true` or the preview of templates.",
        ),
        "this changes what live notifications use, or tells of them, so a test key may not do it",
    ),
    "type_not_allowed": Problem(
        403,
        "The key may not submit this event type",
        "The key is limited to some event types, and this is none of them; or Notifier alone sends it.",
        ("The list of types at the key does not have it.",),
        ("Add the type to the key's list in the console, or use the producer's other key.",),
        "this key may not submit 'password_reset'",
    ),
    "user_token_refused": Problem(
        403,
        "A user's token cannot be used here",
        "The token belongs to one person's inbox. This call is for producers.",
        ("The inbox token was sent instead of the API key.",),
        ("Send the producer's key, from your server: never put it into a page.",),
        "this is a user's token; this call needs a producer's key",
    ),
    "producer_key_refused": Problem(
        403,
        "A producer's key cannot be used here",
        "The inbox belongs to people, so it opens with a person's token and not with a producer's key.",
        ("The API key was sent instead of the inbox token.",),
        ("Create a token with `POST /api/v1/users/{id}/token`, and send that.",),
        "the inbox belongs to people: create a token with POST /api/v1/users/{id}/token",
    ),
    "origin_refused": Problem(
        403,
        "Not allowed on this site",
        "The producer that made the token does not allow it on the page that sent it.",
        ("The site is not in the producer's list of sites.", "It is there with another scheme, port or `www.`."),
        ("Add it: `python -m notifier producers origins NAME https://shop.example`, or on the producer's page.",),
        "the producer of this token does not allow it on this site",
    ),
    "csrf_failed": Problem(
        403,
        "The CSRF token is missing or wrong",
        "A signed-in browser wrote without the token of its session.",
        ("The page was open across a sign-in or sign-out.", "The call comes from a script of another site."),
        (
            "Reload the page.",
            "In pages of your own, use an inbox token (`Authorization: Bearer …`) instead of the cookie.",
        ),
        "writes by cookie need X-CSRFToken: The CSRF token is missing.",
    ),
}
