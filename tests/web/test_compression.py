"""Pages come compressed where the browser takes it, and their length tells nothing of what is in them."""

import gzip

import pytest
from flask.testing import FlaskClient

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True, scope="session")


@pytest.mark.parametrize(
    ("accepted", "is_compressed"),
    [("gzip, deflate, br", True), ("gzip;q=0", False), ("br", False), ("", False)],
)
def test_a_page_is_compressed_for_who_takes_it(client: FlaskClient, accepted: str, is_compressed: bool) -> None:
    answer = client.get("/login", headers={"Accept-Encoding": accepted})
    assert (answer.headers.get("Content-Encoding") == "gzip") == is_compressed
    assert "Accept-Encoding" in answer.headers["Vary"]
    assert int(answer.headers["Content-Length"]) == len(answer.data)
    page = gzip.decompress(answer.data) if is_compressed else answer.data
    assert b"</html>" in page


def test_the_same_page_is_never_of_one_length(client: FlaskClient) -> None:
    lengths = {len(client.get("/login", headers={"Accept-Encoding": "gzip"}).data) for _ in range(12)}
    assert len(lengths) > 3


@pytest.mark.parametrize("path", ["/healthz", "/api/openapi.json", "/service-worker.js"])
def test_only_pages_are(client: FlaskClient, path: str) -> None:
    assert "Content-Encoding" not in client.get(path, headers={"Accept-Encoding": "gzip"}).headers
