"""Uploaded images as everybody gets them: kept for good, and nothing but images."""

import pytest
from flask.testing import FlaskClient

from notifier.catalogue import images
from notifier.models import Image
from tests.catalogue.test_image_files import written


@pytest.fixture
def image(cast: object) -> Image:
    return images.add(written("PNG"), "logo.png")


def test_an_image_is_public_and_kept_for_good(client: FlaskClient, image: Image) -> None:
    answer = client.get(images.path(image), headers={"Cookie": "notifier_session=of-somebody"})
    assert (answer.status_code, answer.mimetype, len(answer.data)) == (200, "image/png", image.size)
    headers = {
        "Cache-Control": "public, max-age=31536000, immutable",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Resource-Policy": "cross-origin",
        "ETag": f'"{image.digest}"',
    }
    assert {name: answer.headers[name] for name in headers} == headers
    assert not {"Set-Cookie", "Vary"} & set(answer.headers.keys())
    again = client.get(images.path(image), headers={"If-None-Match": headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert again.headers["Cache-Control"] == headers["Cache-Control"]
    assert client.head(images.path(image)).status_code == 200


def test_any_other_address_is_nothing(client: FlaskClient, image: Image) -> None:
    for path in (f"/images/{'0' * 32}.png", f"/images/{image.digest}.gif", f"/images/{image.digest}.svg"):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["Cache-Control"]) == (404, "no-store")
    assert client.get("/images/%00.png").status_code == client.get("/images/x").status_code == 404
