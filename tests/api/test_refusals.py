"""How a request that is not done looks."""

from __future__ import annotations

import json

import pytest

from flask_fs_swift.api.refusals import Form, Refusal, status_line
from flask_fs_swift.errors import InvalidName


@pytest.mark.parametrize(
    ("refusal", "headers", "body"),
    [
        (Refusal(400, "no"), {"content-type": "application/json"}, b'{"detail": "no"}'),
        (
            Refusal(500, "no", ("this", "that")),
            {"content-type": "application/json"},
            b'{"detail": "no", "causes": ["this", "that"]}',
        ),
        (
            Refusal(429, "slowly é", form="text"),
            {"content-type": "text/plain; charset=utf-8"},
            "slowly é".encode(),
        ),
        (Refusal(404, form="empty"), {}, b""),
    ],
)
def test_a_refusal_is_rendered(refusal: Refusal, headers: dict[str, str], body: bytes) -> None:
    assert refusal.headers == headers
    assert refusal.body == body


def test_a_part_of_a_batch_has_json_whatever_the_form() -> None:
    assert Refusal(429, "slowly", form="text").json == b'{"detail": "slowly"}'


def test_causes_are_an_errors_own() -> None:
    try:
        try:
            raise KeyError
        except KeyError as error:
            raise InvalidName("a name") from error
    except InvalidName as error:
        refusal = Refusal.of(400, error)
    assert (refusal.detail, refusal.causes) == ("a name", ("KeyError",))
    assert str(refusal) == "400 Bad Request: a name: KeyError"


def test_causes_in_a_ring_end() -> None:
    error = ValueError("again")
    error.__cause__ = error
    assert len(Refusal.of(400, error).causes) == 16


@pytest.mark.parametrize("form", ["json", "text", "empty"])
def test_a_refusal_is_read_as_it_was_rendered(form: Form) -> None:
    refusal = Refusal(409, "" if form == "empty" else "held: é\ud800", form=form)
    read = Refusal.read(409, refusal.body)
    assert (read.status, read.form) == (409, form)
    assert read.detail.startswith(refusal.detail[:6])


@pytest.mark.parametrize(
    "body", [b"\xff\x00", b"[]", b'{"detail": 1}', b'{"causes": []}', b"[" * 100_000, b"NaN"]
)
def test_any_answer_is_a_refusal(body: bytes) -> None:
    assert Refusal.read(502, body).form == "text"


def test_what_causes_are_not_is_left_out() -> None:
    assert Refusal.read(500, json.dumps({"detail": "a", "causes": "b"}).encode()).causes == ()


@pytest.mark.parametrize(
    ("status", "line"),
    [(200, "200 OK"), (201, "201 Created"), (204, "204 No Content"), (404, "404 Not Found"),
     (429, "429 Too Many Requests"), (599, "599")],
)  # fmt: skip
def test_a_status_has_its_reason(status: int, line: str) -> None:
    assert status_line(status) == line
