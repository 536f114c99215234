"""`POST /api/v1/images`: a file as it is, and the address that it has from then on."""

from typing import Any

import pytest

from notifier.access.keys import create_key, create_producer
from notifier.catalogue import images
from notifier.models import AuditEntry, Image
from tests.catalogue.test_image_files import written
from tests.conftest import Api
from tests.stored import rows

PATH = "/api/v1/images"
PNG = written("PNG")


def send(api: Api, file: bytes, query: str = "", **headers: str) -> Any:
    return api.post(PATH + query, data=file, headers={"Content-Type": "text/html", **headers})


def test_an_image_is_stored_once_however_often_it_comes(api: Any) -> None:
    first, second = send(api, PNG, "?name=../Logo.png"), send(api, PNG)
    [image] = rows(Image)
    url = f"http://localhost/images/{image.digest}.png"
    shown = {"media_type": "image/png", "name": "Logo.png", "width": 40, "height": 20, "frames": 1, "size": image.size}
    assert (first.status_code, first.json) == (201, {"url": url, **shown})
    assert (second.status_code, second.json) == (201, first.json)
    [entry] = [entry for entry in rows(AuditEntry) if entry.action == "image.uploaded"]
    assert (entry.subject, entry.after["name"]) == (image.digest, "Logo.png")
    assert "Shop" in entry.actor


@pytest.mark.parametrize(
    ("file", "query", "headers", "status", "code"),
    [
        (b"<svg/>", "", {}, 422, "validation_failed"),
        (b"", "", {}, 422, "validation_failed"),
        (PNG + bytes(5_000_000), "", {}, 413, "body_too_large"),
        (PNG, "", {"Content-Encoding": "gzip"}, 415, "unsupported_media_type"),
        (PNG, "?alt=x", {}, 422, "validation_failed"),
    ],
)
def test_what_is_no_image_is_refused(
    api: Any, file: bytes, query: str, headers: dict[str, str], status: int, code: str
) -> None:
    answer = send(api, file, query, **headers)
    assert (answer.status_code, answer.json["code"]) == (status, code)
    assert rows(Image) == []


def test_a_test_key_uploads_nothing(api: Any) -> None:
    tester = Api(api.client, create_key(create_producer("Other").id, scopes=("templates",), is_test=True)[1])
    assert send(tester, PNG).json["code"] == "test_key"


def test_all_images_together_are_bounded(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    send(api, PNG)
    monkeypatch.setattr(images, "MOST_STORED", rows(Image)[0].size)
    assert send(api, written("PNG", (41, 20))).status_code == 409
    assert send(api, PNG).status_code == 201  # it is there already
    assert len(rows(Image)) == 1
