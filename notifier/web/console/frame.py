"""The frame of all console pages: navigation, controls by role, URLs that keep the state of a list.

Templates use it as `console_pages`, `may`, `refusal` and `here` (templates/admin/macros.html).
"""

from typing import Any, NamedTuple
from urllib.parse import urlencode

from flask import Flask, Response, current_app, request, url_for
from flask_login import current_user

from notifier.ground import replica
from notifier.ground.config import current_settings
from notifier.models.account import ROLES
from notifier.web.access import WROTE, rule_of

_GROUPS = (
    (
        "Watch",
        (
            ("/admin/", "Overview"),
            ("/admin/failed", "Failed"),
            ("/admin/queues", "Waiting"),
            ("/admin/notifications", "Notifications"),
            ("/admin/sandbox", "Sandbox"),
        ),
    ),
    (
        "Manage",
        (
            ("/admin/types", "Types"),
            ("/admin/templates", "Templates"),
            ("/admin/images", "Images"),
            ("/admin/producers", "Producers"),
            ("/admin/brand", "Brand"),
            ("/admin/subscriptions", "Webhooks"),
            ("/admin/providers", "Providers"),
        ),
    ),
    (
        "People",
        (
            ("/admin/users", "Users"),
            ("/admin/broadcasts", "Broadcasts"),
            ("/admin/accounts", "Accounts"),
            ("/admin/audit", "Audit"),
        ),
    ),
)


class Page(NamedTuple):
    endpoint: str
    words: str
    is_current: bool


class Group(NamedTuple):
    words: str
    pages: list[Page]

    @property
    def is_current(self) -> bool:
        return any(page.is_current for page in self.pages)


def init_app(app: Flask) -> None:
    app.add_template_global(console_pages)
    app.add_template_global(may)
    app.add_template_global(refusal)
    app.add_template_global(here)
    app.add_template_global(replica.lag_shown_s)
    app.add_template_global(this_cell)
    app.after_request(_note_change)


def _note_change(response: Response) -> Response:
    """The page that is seen next shows the change, although a replica may not have it yet."""
    if replica.standing() and request.method == "POST" and request.path.startswith("/admin/"):
        response.set_cookie(
            WROTE,
            "1",
            max_age=replica.READ_OWN_S,
            path="/admin",
            secure=current_settings().has_secure_cookies,
            httponly=True,
            samesite="Lax",
        )
    return response


def console_pages() -> list[Group]:
    """The pages this account may see, by group."""
    endpoints = {rule.rule: rule.endpoint for rule in current_app.url_map.iter_rules() if "GET" in (rule.methods or ())}
    groups = []
    for words, entries in _GROUPS:
        pages = [
            Page(endpoints[path], label, f"{request.path}/".startswith(f"{path}/"))
            for path, label in entries
            if path in endpoints and may(rule_of(endpoints[path]) or "")
        ]
        groups.append(Group(words, pages))
    return [group for group in groups if group.pages]


def this_cell() -> tuple[str, dict[str, str]] | None:
    """Where there are several: the name of the one that this console belongs to, and of each other the address of the
    page of the same name.
    """
    cells = current_settings().region
    if cells is None or not cells.others:
        return None
    paths = [path for _, entries in _GROUPS for path, _ in entries]
    path = max((path for path in paths if f"{request.path}/".startswith(f"{path}/")), default="/admin/")
    return cells.name, {region: f"{url}{path}" for region, url in sorted(cells.others.items())}


def may(role: str) -> bool:
    """Whether the signed-in account has this role, or a higher one."""
    return role in ROLES and current_user.is_authenticated and current_user.has_role(role)


def refusal(role: str) -> str:
    """Why a control is disabled without this role."""
    return f"Your role is {current_user.role}; this needs {' or '.join(ROLES[ROLES.index(role) :])}."


def here(**changes: Any) -> str:
    """The address of this page with other parameters; None takes one out. The cursor is dropped, unless it is the
    parameter that changes.
    """
    state = {name: values for name, values in request.args.lists() if name not in ("after", "before", "page")} | changes
    # Not by url_for, to which some names are orders (_external, _scheme …): what an address says is anybody's word.
    query = urlencode({name: value for name, value in state.items() if value is not None}, doseq=True)
    path = url_for(request.endpoint or "", **(request.view_args or {}))
    return f"{path}?{query}" if query else path
