"""From POST to the browser: posts a hundred a second while the recipients' Socket.IO connections listen in the same
process.
"""

import argparse
import itertools
import json
import sys
import threading
import time
from collections.abc import Iterator

from websocket import WebSocket, WebSocketException, create_connection

from bench import load
from bench.sample import TYPE

NAMESPACE = "/inbox"
_FAREWELL_S = 1.0


def connect(port: int, token: str) -> WebSocket:
    wire = create_connection(f"ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket", timeout=10)
    wire.recv()  # Engine.IO's open packet
    wire.send(f"40{NAMESPACE}," + json.dumps({"token": token}))
    while not (answer := str(wire.recv())).startswith("40"):
        if answer.startswith("44"):
            raise RuntimeError(answer)
    return wire


def _listen(wire: WebSocket, heard_at: dict[int, float]) -> None:
    while True:
        try:
            packet = str(wire.recv())
        except (WebSocketException, OSError):
            return
        at = time.monotonic()
        if packet == "2":
            wire.send("3")
        elif packet.startswith(f"42{NAMESPACE},"):
            event, payload = json.loads(packet.partition(",")[2])
            if event == "item":
                heard_at[int(payload["item"]["data"]["order_id"])] = at


def main() -> None:
    parser = argparse.ArgumentParser(description="Reads a JSON object on its input: user → token.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--per-second", type=float, default=100)
    given = parser.parse_args()
    tokens: dict[str, str] = json.loads(sys.stdin.readline())
    sent_at: list[float] = []
    heard_at: dict[int, float] = {}
    wires = [connect(given.port, token) for token in tokens.values()]
    for wire in wires:
        wire.settimeout(60)
        threading.Thread(target=_listen, args=(wire, heard_at), daemon=True).start()
    users = list(tokens)

    def requests() -> Iterator[bytes]:
        for number in itertools.count():
            body = {
                "type": TYPE,
                "recipients": [users[number % len(users)]],
                "data": {"order_id": str(number)},
                "channels": ["inapp"],
            }
            yield load.request("/api/v1/notifications", body)

    posted = load.post(
        given.port,
        requests(),
        clients=16,
        seconds=given.seconds,
        per_second=given.per_second,
        sent=lambda: sent_at.append(time.monotonic()),
    )
    time.sleep(_FAREWELL_S)
    latencies = [heard_at[number] - at for number, at in enumerate(sent_at) if number in heard_at]
    print(
        json.dumps(
            {
                "posted": len(sent_at),
                "heard": len(latencies),
                "refused": posted["refused"],
                **load.percentiles(latencies),
            }
        ),
        flush=True,
    )


if __name__ == "__main__":
    main()
