"""The yardstick of the web process: Flask on eventlet's server takes a JSON body and answers with one, and does nothing
else. `python -m bench.bare_web` prints its port, and serves until it is stopped.
"""

import os
import warnings

os.environ.setdefault("EVENTLET_NO_GREENDNS", "yes")
warnings.filterwarnings("ignore", r"\s*Eventlet is deprecated")

import eventlet

eventlet.monkey_patch()

import json
import secrets

import eventlet.wsgi
from flask import Flask, jsonify, request
from flask.typing import ResponseReturnValue


def make_app() -> Flask:
    app = Flask(__name__)

    @app.post("/<path:path>")
    def take(path: str) -> ResponseReturnValue:
        body = request.get_json()
        key = secrets.token_hex(16)
        deliveries = [{"id": key, "channel": channel, "status": "queued"} for channel in body["channels"]]
        told = {"id": key, "user": body["recipients"][0], "deliveries": deliveries}
        return jsonify({"id": key, "status": "accepted", "notifications": [told]}), 202

    return app


def main() -> None:
    listener = eventlet.listen(("127.0.0.1", 0))
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    eventlet.wsgi.server(listener, make_app(), log_output=False, debug=False)


if __name__ == "__main__":
    main()
