"""Images in the console: uploaded, their addresses given out, and deleted once nothing refers to them."""

import io
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from apiflask import APIFlask

from notifier.catalogue import experiments, images, templates
from notifier.catalogue.experiments import Proposal
from notifier.core.brand import Brand
from notifier.core.wording import Words
from notifier.models import AuditEntry, Image
from notifier.queries import images as queries
from notifier.words.brands import set_brand
from tests.catalogue.test_image_files import written
from tests.stored import rows
from tests.web.conftest import Visitor

PATH = "/admin/images"


@pytest.fixture
def operator(signed_in: Callable[..., Visitor]) -> Visitor:
    return signed_in("operator")


def send(visitor: Visitor, file: bytes, **options: Any) -> Any:
    return visitor.post(PATH, {"file": (io.BytesIO(file), "logo.png")}, **options)


def words(html: str) -> dict[tuple[str, str], Words]:
    return {("email", "en"): Words(title="T", body="B", html=html)}


def published(html: str) -> None:
    version = templates.create("invoice", words(html))
    templates.publish("invoice", version)


def test_an_image_is_uploaded_listed_used_and_deleted(
    app: APIFlask, operator: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(app.extensions["settings"], cdn_url="https://cdn.test/n")
    monkeypatch.setitem(app.extensions, "settings", settings)
    assert "No image has been uploaded yet." in operator.get(PATH).text
    assert send(operator, written("PNG")).status_code == 303
    [image] = rows(Image)
    address = f"https://cdn.test/n/images/{image.digest}.png"
    text = operator.get(PATH).text
    assert f'readonly value="{address}"' in text
    assert f'src="/images/{image.digest}.png"' in text
    assert "40 × 20 pixels" in text

    published(f'<p><img src="{address}" alt="Logo"></p>')
    assert "invoice" in operator.get(PATH).text
    page = f"{PATH}/{image.digest}/delete"
    assert "it cannot be deleted before" in operator.get(page).text
    assert operator.post(page).status_code == 303
    assert len(rows(Image)) == 1

    published("<p>Without it</p>")
    set_brand(None, Brand("Acme", logo=address), subject="installation")
    assert "It is the logo of a brand" in operator.get(page).text
    assert operator.post(page).status_code == 303
    assert len(rows(Image)) == 1
    set_brand(None, Brand("Acme"), subject="installation")
    assert operator.post(page).status_code == 303
    assert rows(Image) == []
    trail = [(entry.action, entry.actor) for entry in rows(AuditEntry) if entry.action.startswith("image.")]
    assert trail == [("image.uploaded", "operator@example.test"), ("image.deleted", "operator@example.test")]
    assert operator.post(page).status_code == operator.get(f"/images/{image.digest}.png").status_code == 404


def test_an_image_stays_while_an_experiment_sends_it(operator: Visitor) -> None:
    image = images.add(written("PNG"), "logo.png")
    published("<p>Plain</p>")
    variant = words(f'<p><img src="{images.address(image)}" alt="Logo"></p>')
    experiments.add("invoice", Proposal("b", 50, variant), starts=True)
    operator.post(f"{PATH}/{image.digest}/delete")
    assert len(rows(Image)) == 1
    experiments.stop("invoice", "control")
    operator.post(f"{PATH}/{image.digest}/delete")
    assert rows(Image) == []


@pytest.mark.parametrize(
    ("file", "status", "said"),
    [
        (b"<svg/>", 422, "This is no PNG, JPEG, GIF or WebP image."),
        (b"", 422, "The file is empty."),
        (bytes(6_000_000), 413, "The file is too large: at most 5 MB."),
    ],
)
def test_a_file_that_is_no_image_is_refused_beside_its_field(
    operator: Visitor, file: bytes, status: int, said: str
) -> None:
    answer = send(operator, file)
    assert (answer.status_code, said in answer.text) == (status, True)


def test_viewers_upload_nothing_and_strangers_of_the_form_neither(
    operator: Visitor, signed_in: Callable[..., Visitor]
) -> None:
    assert send(signed_in("viewer"), written("PNG")).status_code == 403
    assert send(operator, written("PNG"), token=False).status_code == 400
    assert rows(Image) == []


def test_a_long_list_is_paged_newest_first(operator: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "MOST_SHOWN", 2)
    stored = [images.add(written("PNG", (width, 20)), f"{width}.png").name for width in range(40, 45)]
    seen, page = [], PATH
    while page:
        text = operator.get(page).text
        seen += re.findall(r'"Copy the address of (\d+\.png)"', text)
        further = re.search(r'rel="next" href="([^"]+)"', text)
        page = further[1] if further else ""
    assert seen == stored[::-1]
    assert [operator.get(f"{PATH}?after={cursor}").status_code for cursor in ("nothing", "a%00b")] == [404, 404]
