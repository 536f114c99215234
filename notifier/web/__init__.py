"""The pages, rendered on the server; all but the inbox work without JavaScript.

`person/` for people, `console/` for `/admin/`. `create_app` registers `blueprints` and calls `init_app`. Every view
declares who may see it with `access.allow`; a view without a rule is refused to everybody.
"""

from flask import Flask

from notifier.ground.extensions import login_manager
from notifier.web import assets, compression, errors, headers, language, presentation
from notifier.web.console import (
    accounts,
    audit,
    brand,
    broadcast_compose,
    broadcasts,
    costs,
    encryption,
    experiments,
    failed,
    failed_actions,
    frame,
    notifications,
    overview,
    people_data,
    people_lists,
    producer_limits,
    producers,
    providers,
    queues,
    sandbox,
    subscriptions,
    template_about,
    template_editor,
    template_previews,
    templates,
    types,
    users,
    wall,
)
from notifier.web.console import images as image_files
from notifier.web.person import (
    account,
    addresses,
    home,
    images,
    invitations,
    labels,
    login,
    openid,
    passkeys,
    preference_links,
    preferences,
    problems,
    second_factor,
    security_contact,
    tracked,
    unsubscribe,
    why,
)

blueprints = (
    home.pages,
    login.pages,
    invitations.pages,
    preferences.pages,
    preference_links.pages,
    account.pages,
    second_factor.pages,
    passkeys.pages,
    openid.pages,
    security_contact.pages,
    addresses.pages,
    unsubscribe.pages,
    tracked.pages,
    images.pages,
    why.pages,
    problems.pages,
    labels.pages,
    overview.pages,
    notifications.pages,
    broadcast_compose.pages,
    broadcasts.pages,
    people_lists.pages,
    queues.pages,
    failed.pages,
    failed_actions.pages,
    sandbox.pages,
    costs.pages,
    templates.pages,
    experiments.pages,
    template_about.pages,
    template_editor.pages,
    template_previews.pages,
    image_files.pages,
    types.pages,
    producers.pages,
    producer_limits.pages,
    brand.pages,
    subscriptions.pages,
    providers.pages,
    encryption.pages,
    users.pages,
    people_data.pages,
    accounts.pages,
    audit.pages,
    wall.pages,
    wall.public,
)
for _blueprint in blueprints:
    errors.show_pages_for(_blueprint)


def init_app(app: Flask) -> None:
    login_manager.user_loader(login.account_of_session)
    errors.init_app(app)
    headers.init_app(app)
    language.init_app(app)
    assets.init_app(app)
    compression.init_app(app)
    presentation.init_app(app)
    frame.init_app(app)
