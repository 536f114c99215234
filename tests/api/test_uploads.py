"""`POST /api/v1/uploads`: lists of people as CSV files, streamed in and read in the background."""

import io
from typing import Any

import pytest

from notifier.access.keys import create_key, create_producer
from notifier.api import uploads as door
from notifier.jobs import read_upload
from notifier.models import AuditEntry, Upload, User
from notifier.people import upload_reading
from tests.conftest import Api
from tests.stored import rows

PATH = "/api/v1/uploads"


def send(api: Api, file: str | bytes, **headers: str) -> Any:
    return api.post(PATH, data=file, headers={"Content-Type": "text/csv", **headers})


def key_with(api: Api, *scopes: str, is_test: bool = False) -> Api:
    return Api(api.client, create_key(create_producer("Other").id, scopes=scopes, is_test=is_test)[1])


def read_all() -> None:
    for upload in rows(Upload):
        while upload_reading.read(upload.id):
            pass


def test_a_list_is_taken_in_and_read_in_the_background(api: Any) -> None:
    answer = send(api, "id,email,attributes.plan\nu1,u1@x.test,pro\nu2,nowhere,free\n")
    shown = answer.json["id"]
    counts = {"rows": 2, "created": 0, "changed": 0, "bad": [], "bad_rows": 0}
    assert (answer.status_code, answer.json) == (202, {"id": shown, "status": "running", **counts})
    read_all()
    bad = [{"line": 3, "code": "invalid_email", "message": "email: this is no e-mail address"}]
    assert api.get(f"{PATH}/{shown}").json == {
        "id": shown,
        "status": "finished",
        **counts,
        "created": 1,
        "bad": bad,
        "bad_rows": 1,
    }
    assert api.get("/api/v1/users/u1").json["attributes"] == {"plan": "pro"}
    [entry] = [entry for entry in rows(AuditEntry) if entry.action == "upload.received"]
    assert (entry.subject, entry.after) == (shown, {"rows": 2})


@pytest.mark.usefixtures("cast")
def test_the_key_s_scopes_say_who_is_changed(api: Any) -> None:
    file = "id,name\nalice,Mallory\nzoe,Zoe\n"
    assert send(key_with(api, "users"), file).status_code == 403
    send(key_with(api, "broadcast"), file)
    read_all()
    assert [api.get(f"/api/v1/users/{name}").json["name"] for name in ("alice", "zoe")] == ["Alice", "Zoe"]
    send(key_with(api, "broadcast", "users"), file)
    read_all()
    assert api.get("/api/v1/users/alice").json["name"] == "Mallory"


def test_others_do_not_see_an_upload(api: Any) -> None:
    mine, other = key_with(api, "broadcast"), key_with(api, "broadcast")
    shown = send(mine, "id\nu1\n").json["id"]
    tester = key_with(api, "broadcast", "admin", is_test=True)
    assert [key.get(f"{PATH}/{shown}").status_code for key in (mine, api, other, tester)] == [200, 200, 404, 404]
    assert api.get(f"{PATH}/upl_{'0' * 32}").status_code == api.get(f"{PATH}/x").status_code == 404


@pytest.mark.parametrize("kind", ["text/csv", "text/csv; charset=UTF-8", "application/octet-stream"])
def test_a_file_is_taken_as_csv_or_as_bytes(api: Any, kind: str) -> None:
    assert send(api, "id\nu1\n", **{"Content-Type": kind}).status_code == 202


REFUSED: dict[str, tuple[str | bytes, dict[str, str], int, str]] = {
    "JSON": ("{}", {"Content-Type": "application/json"}, 415, "unsupported_media_type"),
    "a form": ("id\nu1\n", {"Content-Type": "multipart/form-data; boundary=x"}, 415, "unsupported_media_type"),
    "a type that is not said": ("id\nu1\n", {"Content-Type": ""}, 415, "unsupported_media_type"),
    "compressed": (b"\x1f\x8b", {"Content-Encoding": "gzip"}, 415, "unsupported_media_type"),
    "said to be another encoding": (
        "id\n",
        {"Content-Type": "text/csv; charset=latin1"},
        415,
        "unsupported_media_type",
    ),
    "no encoding": ("id\n", {"Content-Type": "text/csv; charset=x-none"}, 415, "unsupported_media_type"),
    "a ZIP": (b"PK\x03\x04", {}, 422, "validation_failed"),
    "nothing": ("", {}, 422, "validation_failed"),
    "another encoding": ("id,name\nu1,Jörg\n".encode("latin-1"), {}, 422, "validation_failed"),
}


@pytest.mark.parametrize(("file", "headers", "status", "code"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_csv_file_is_refused(
    api: Any, file: str | bytes, headers: dict[str, str], status: int, code: str
) -> None:
    answer = send(api, file, **headers)
    assert (answer.status_code, answer.json["code"]) == (status, code)
    assert rows(Upload) == []


def test_a_fault_is_named_with_its_line(api: Any) -> None:
    [fault] = send(api, "id,name\nu1,Jörg\n".encode("latin-1")).json["errors"]
    assert (fault["code"], fault["line"]) == ("not_utf8", 2)


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_file_that_is_too_large_is_refused_and_nothing_stays(
    api: Any, monkeypatch: pytest.MonkeyPatch, is_chunked: bool
) -> None:
    file = "id\n" + f"{'u' * 128}\n" * 12_000  # more than other calls may send
    monkeypatch.setattr(door, "MOST_BYTES", len(file))
    how: dict[str, Any] = (
        {"headers": {"Content-Type": "text/csv", "Transfer-Encoding": "chunked"}} if is_chunked else {}
    )

    def post(data: str) -> Any:
        headers = how.get("headers", {"Content-Type": "text/csv"})
        return (
            api.post(PATH, input_stream=io.BytesIO(data.encode()), headers=headers) if is_chunked else send(api, data)
        )

    assert post(file).status_code == 202
    rows_before = len(rows(Upload))
    answer = post(f"{file}u")
    assert (answer.status_code, answer.json["code"]) == (413, "body_too_large")
    assert len(rows(Upload)) == rows_before


def test_a_stock_worker_reads_it_too(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = send(api, "id\nu1\n").json["id"]
    monkeypatch.setattr("notifier.jobs.app", lambda: api.client.application)
    read_upload(shown)
    assert [user.id for user in rows(User)] == ["u1"]
