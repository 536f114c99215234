"""Asking another cell, whatever that does."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest
from apiflask import APIFlask

from notifier.cells import client
from notifier.ground.cells import Cells
from tests.celled import KEY


@pytest.fixture
def trickling() -> Iterator[str]:
    """The address of somebody who answers with a byte now and then, for as long as one listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n"
                )
                try:
                    while True:
                        connection.sendall(b" ")
                        time.sleep(0.02)
                except OSError:
                    pass

        threading.Thread(target=answer, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_an_answer_that_trickles_is_waited_for_no_longer_than_any_other(app: APIFlask, trickling: str) -> None:
    cells = Cells("eu", {"us": trickling}, (KEY,))
    with pytest.raises(client.Away):  # whichever comes first on a busy machine; without an end it would come never
        client.who_of(cells, "us", ["ann"], 0.2)
