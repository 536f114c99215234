"""Every page there is: its address, or which test looks at it. `web/test_access.py` checks that none is missing.

In braces stands an id, which `IDS` says where to find.
"""

CONSOLE = (
    *("/admin/", "/admin/walls", "/admin/audit", "/admin/erasures", "/admin/keys", "/admin/costs"),
    *("/admin/failed", "/admin/failed/jobs", "/admin/failed/registry", "/admin/failed/actions"),
    *("/admin/failed/actions/new?kind=retry", "/admin/failed/{dead}"),
    *("/admin/queues", "/admin/queues/sms/pause", "/admin/queues/waiting/retry"),
    "/admin/queues/breaker?scope=webhook&state=open",
    *("/admin/notifications", "/admin/notifications?id={dead}", "/admin/notifications/{notification}"),
    "/admin/notifications/deliveries/{delivered}/again",
    *("/admin/sandbox", "/admin/sandbox/{mail}", "/admin/sandbox/{sms}", "/admin/sandbox/delete"),
    *("/admin/types", "/admin/types/order_shipped", "/admin/types/new"),
    *("/admin/templates", "/admin/templates/order_shipped", "/admin/templates/order_shipped/about"),
    *("/admin/templates/order_shipped/1", "/admin/templates/order_shipped/1/publish"),
    *("/admin/images", "/admin/images/{image}/delete", "/admin/brand", "/admin/brand/{producer}"),
    *("/admin/producers", "/admin/producers/{producer}", "/admin/producers/{producer}/limits"),
    "/admin/producers/{producer}/keys/{key}",
    *("/admin/subscriptions", "/admin/subscriptions/{subscription}", "/admin/subscriptions/{subscription}/delete"),
    "/admin/subscriptions/{subscription}/attempts/{attempt}",
    *("/admin/providers", "/admin/providers/webhook", "/admin/providers/new/smtp"),
    *("/admin/broadcasts", "/admin/broadcasts/new?type=newsletter", "/admin/broadcasts/lists"),
    *("/admin/users", "/admin/users/ada", "/admin/users/ada/preferences", "/admin/users/ida/addresses/{address}/lift"),
    "/admin/users/eva/webhooks/{webhook}",
    *("/admin/accounts?show=all", "/admin/accounts/{account}", "/admin/accounts/{account}/state"),
)
# Each in every language that people's pages speak.
PEOPLES = ("/inbox", "/preferences?history=all", "/preferences/addresses", "/why", "/account", "/account/second-factor")
SIGNED_OUT = ("/login", "/login/link/broken", "/u/{unsubscribing}", "/u/broken", "/p/broken", "/invitation/broken")
FOR_PROGRAMMERS = ("/api/docs", "/problems", "/problems/not_found")

# What it is called → a page that leads there, and how its address reads.
IDS = {
    "account": ("/admin/accounts?show=all&q=person-0@", r"/admin/accounts/(acc_\w+)"),
    "address": ("/admin/users/ida", r"/addresses/(adr_\w+)/lift"),
    "attempt": ("/admin/subscriptions/{subscription}", r"/attempts/([\w-]+)"),
    "delivered": ("/admin/notifications/{notification}", r"/deliveries/(dlv_\w+)/again"),
    "image": ("/admin/images", r"/admin/images/(\w+)/delete"),
    "key": ("/admin/producers/{producer}", r"/keys/(key_\w+)"),
    "notification": ("/admin/notifications?q=ada", r"/admin/notifications/(ntf_\w+)"),
    "producer": ("/admin/producers?q=Environment", r"/admin/producers/(prd_\w+)"),
    "subscription": ("/admin/subscriptions", r"/admin/subscriptions/(sbn_\w+)"),
    "webhook": ("/admin/users/eva", r"/webhooks/(adr_\w+)"),
}

# The rule of a page → the test (below `tests/`) that has to bring it about first, and looks at it.
ELSEWHERE = {
    "/admin/accounts/invitations/<invitation_id>/withdraw": "browser/test_accounts.py",
    "/admin/broadcasts/<broadcast_id>": "browser/test_broadcasts.py",
    "/admin/broadcasts/<broadcast_id>/cancel": "browser/test_broadcasts.py",
    "/admin/broadcasts/<broadcast_id>/recipients": "browser/test_broadcasts.py",
    "/admin/broadcasts/lists/<upload_id>": "browser/test_broadcasts.py",
    "/admin/failed/actions/<action_id>": "browser/test_console.py",
    "/login/code": "browser/test_passkeys.py",
    "/wall/<secret>": "browser/test_wall.py",
}
# Nothing but a question and two buttons, of which the others have the like.
QUESTIONS = (
    "/admin/accounts/<account_id>/second-factor",
    "/admin/broadcasts/<broadcast_id>/retry",
    "/admin/templates/<key>/experiment/keep/<name>",
    "/preferences/addresses/<address_id>/remove",
)
# Files, what programs read, words of others in a frame, and addresses that only lead on.
NO_PAGES = (
    *("/", "/login/provider", "/login/provider/callback", "/account/provider", "/t/<token>", "/o/<path:token>.gif"),
    *("/.well-known/oauth-authorization-server", "/.well-known/security.txt", "/oauth/jwks.json", "/service-worker.js"),
    *("/api/openapi.json", "/healthz", "/readyz", "/metrics", "/hooks/<account>", "/labels/<language>.json"),
    *("/notify/status/<shown_id>", "/user/preferences/<user_id>", "/images/<digest>.<extension>"),
    *("/preferences/export", "/admin/audit/csv", "/admin/costs/csv", "/admin/broadcasts/<broadcast_id>/results.csv"),
    *("/admin/sandbox/<capture_id>/html", "/admin/templates/-/mail/<digest>"),
)
