"""The door for programs: calls of producers, of inboxes and of monitoring, and their OpenAPI document.

A handler is schema in, one call, schema out; its docstring is the API's documentation. `create_app` registers
`blueprints` and calls `init_app`. No page is served here.
"""

from apiflask import APIFlask

from notifier.api import (
    alerts,
    audiences,
    auth,
    broadcasts,
    cells,
    elsewhere,
    errors,
    events,
    experiments,
    health,
    hooks,
    images,
    limits,
    metrics,
    notifications,
    oauth,
    openapi,
    own_preferences,
    preferences,
    producers,
    pubsub,
    reencryption,
    sandbox,
    schedules,
    seeds,
    subscriptions,
    templates,
    types,
    uploads,
    users,
)
from notifier.api.strict_json import StrictJSON, StrictRequest
from notifier.ground.extensions import csrf

blueprints = (
    notifications.bp,
    schedules.bp,
    users.bp,
    audiences.bp,
    broadcasts.bp,
    uploads.bp,
    preferences.bp,
    producers.bp,
    reencryption.bp,
    types.bp,
    templates.bp,
    images.bp,
    sandbox.bp,
    events.bp,
    experiments.bp,
    subscriptions.bp,
    own_preferences.bp,  # with the inbox's calls, which it adds to
    seeds.bp,
    hooks.bp,
    pubsub.bp,
    alerts.bp,
    cells.bp,
    oauth.bp,
    openapi.bp,
    health.bp,
)


def init_app(app: APIFlask) -> None:
    app.json = StrictJSON(app)
    app.request_class = StrictRequest
    metrics.init_app(app)
    errors.init_app(app)
    limits.init_app(app)
    auth.init_app(app)
    elsewhere.init_app(app)
    oauth.init_app(app)
    openapi.init_app(app)
    for blueprint in blueprints:
        csrf.exempt(blueprint)  # keys and tokens are no cookies; the inbox checks its own
