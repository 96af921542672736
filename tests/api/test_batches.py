"""Batches over HTTP."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from flask_fs_swift.api.keys import READ, WRITE
from flask_fs_swift.api.wire import (
    PART_END,
    Data,
    Decoder,
    Head,
    boundary_of,
    closing,
    part_head,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pytest

    from .served import Served

PREFIX = "x-sn-batch-operation-"
BOUNDARY = "of the=test"
TYPE = f'multipart/form-data; boundary="{BOUNDARY}"'
MIB = 1024 * 1024


@dataclass
class Part:
    headers: dict[str, str]
    body: bytes = b""

    @property
    def status(self) -> str:
        return self.headers[PREFIX + "status"]


def op(kind: str | None, key: str | None = None, body: bytes = b"", **headers: str) -> bytes:
    given = {PREFIX + "kind": kind, PREFIX + "key": key}
    head = {name: value for name, value in given.items() if value is not None}
    head.update((name.replace("_", "-"), value) for name, value in headers.items())
    return part_head(BOUNDARY, head) + body + PART_END


def done(served: Served, parts: Iterable[bytes], **how: Any) -> dict[int, Part]:
    """Return the parts of an answer by their index, in their order."""
    body = [*parts, closing(BOUNDARY)]
    path = f"objects:batch/{served.usecase}/org=1/"
    answer = served.ask("POST", path, b"".join(body), Content_Type=TYPE, **how)
    assert answer.status == 200, answer
    return parts_of(answer.headers["content-type"], answer.body)


def parts_of(content_type: str, body: bytes) -> dict[int, Part]:
    decoder = Decoder(boundary_of(content_type))
    found: list[Part] = []
    for event in decoder.feed(body):
        if isinstance(event, Head):
            found.append(Part(event.headers))
        elif isinstance(event, Data):
            found[-1].body += event.data
    decoder.finish()
    assert body.endswith(b"--")
    return {int(part.headers[PREFIX + "index"]): part for part in found}


def test_each_operation_is_answered(server: Served) -> None:
    server.put("there", b"content", X_Sn_Filename="a b", Content_Encoding="zstd")
    server.ask("DELETE", server.at("absent"))
    answers = done(
        server,
        [
            op("GET", "there"),
            op("head", "%74here"),
            op("get", "absent"),
            op("head", "absent"),
            op("delete", "absent"),
            op("insert", "n%2F%20w%0A", b"new\r\n--", Content_Type="text/x", x_snme_build_id="1"),
            op("insert", None, b""),
            op("delete", "gone"),
        ],
    )
    assert {index: part.status for index, part in sorted(answers.items())} == {
        0: "200 OK",
        1: "204 No Content",
        2: "404 Not Found",
        3: "404 Not Found",
        4: "204 No Content",
        5: "201 Created",
        6: "201 Created",
        7: "204 No Content",
    }
    assert answers[0].body == b"content"
    for index in (0, 1):
        assert answers[index].headers["content-encoding"] == "zstd"
        assert answers[index].headers["x-sn-filename"] == "a b"
        assert answers[index].headers["x-sn-size"] == "7"
    kinds = ["get", "head", "get", "head", "delete", "insert", "insert", "delete"]
    assert [answers[index].headers[PREFIX + "kind"] for index in range(8)] == kinds
    assert all(answers[index].body == b"" for index in range(1, 8))
    assert unquote(answers[5].headers[PREFIX + "key"]) == "n/ w\n"
    assert all(
        part.headers["content-disposition"] == "form-data; name=part" for part in answers.values()
    )
    stored = server.ask("GET", server.at("n/%20w%0A"))
    assert (stored.body, stored.headers["content-type"]) == (b"new\r\n--", "text/x")
    assigned = unquote(answers[6].headers[PREFIX + "key"])
    assert server.ask("GET", server.at(assigned)).status == 200


def test_names_with_underscores_come_through_in_a_batch(server: Served) -> None:
    head = {PREFIX + "kind": "insert", PREFIX + "key": "u", "x-snme-build_id": "7"}
    done(server, [part_head(BOUNDARY, head) + PART_END])
    assert server.ask("HEAD", server.at("u")).headers["x-snme-build_id"] == "7"


def test_what_is_wrong_with_a_part_is_its_own_matter(server: Served) -> None:
    answers = done(
        server,
        [
            op("insert", "good", b"1"),
            op(None, "k"),
            op("copy", "k"),
            op("get"),
            op("get", "%zz"),
            op("insert", "bad", b"x", Content_Encoding="gzip"),
            op("insert", "large", b"x" * (MIB + 1)),
            op("insert", "largest", b"x" * MIB),
            op("get", "good", b"ignored"),
        ],
    )
    statuses = [answers[index].status[:3] for index in range(9)]
    assert statuses == ["201", "400", "400", "400", "400", "400", "413", "201", "200"]
    for index in range(1, 7):
        headers = answers[index].headers
        assert headers.keys() == {PREFIX + "index", PREFIX + "status", "content-disposition"}
        assert json.loads(answers[index].body)["detail"]
    assert server.ask("HEAD", server.at("largest")).headers["x-sn-size"] == str(MIB)
    assert server.ask("HEAD", server.at("bad")).status == 404


def test_operations_on_one_key_keep_their_order(server: Served) -> None:
    parts = []
    for number in range(50):
        parts += [op("insert", "same", b"%d" % number), op("get", "same")]
    answers = done(server, [*parts, op("delete", "same"), op("get", "same")])
    assert [answers[2 * number + 1].body for number in range(50)] == [
        b"%d" % number for number in range(50)
    ]
    assert answers[101].status == "404 Not Found"


def test_a_thousand_operations_are_done_and_no_more(one_server: Served) -> None:
    answers = done(one_server, [op("head", "absent")] * 1003)
    assert len(answers) == 1003
    assert [answers[index].status[:3] for index in (0, 999, 1000, 1002)] == [
        "404",
        "404",
        "413",
        "413",
    ]


def test_more_than_any_buffer_goes_both_ways(server: Served) -> None:
    large = bytes(range(256)) * 4096
    reads = [op("get", f"l{number}") for number in range(12)]
    writes = [op("insert", f"l{number}", large) for number in range(12)]
    answers = done(server, [*writes, *reads, *writes])
    assert len(answers) == 36
    assert all(answers[12 + number].body == large for number in range(12))


def test_permissions_are_asked_for_each_operation(server: Served) -> None:
    parts = [op("insert", "mine", b"1"), op("get", "mine"), op("delete", "mine"), op("nothing")]
    for permission, good in ((READ, 1), (WRITE, 0)):
        answers = done(server, parts, token=server.token([permission]))
        statuses = [answers[index].status[:3] for index in range(3)]
        assert [status == "403" for status in statuses] == [index != good for index in range(3)]
        assert answers[3].status == "400 Bad Request"


def test_nothing_to_do_is_done(server: Served) -> None:
    assert done(server, []) == {}


def framed(server: Served, body: Any, content_type: str = TYPE) -> Any:
    return server.ask("POST", "objects:batch/test/org=1/", body, Content_Type=content_type)


def test_what_is_cut_off_is_answered_once_and_not_done(server: Served) -> None:
    server.ask("DELETE", server.at("whole"))
    body = op("insert", "whole", b"1") + op("insert", "cut", b"2")[:-1]
    answer = framed(server, body)
    answers = parts_of(answer.headers["content-type"], answer.body)
    assert [answers[index].status[:3] for index in (0, 1)] == ["201", "400"]
    assert len(answers) == 2
    assert server.ask("GET", server.at("cut")).status == 404
    answer = framed(server, b"no boundary")
    assert list(parts_of(answer.headers["content-type"], answer.body)) == [0]


def test_a_batch_without_a_boundary_is_refused(server: Served) -> None:
    for content_type in (
        "application/json",
        "multipart/form-data",
        "multipart/form-data; boundary=é",
    ):
        assert framed(server, b"", content_type.encode().decode("latin-1")).status == 400


def test_a_batch_comes_in_chunks(server: Served) -> None:
    def blocks() -> Iterator[bytes]:
        whole = op("insert", "chunked", b"1") + op("get", "chunked") + closing(BOUNDARY)
        for at in range(0, len(whole), 7):
            yield whole[at : at + 7]

    answer = server.ask(
        "POST", "objects:batch/test/org=1/", blocks(), chunked=True, Content_Type=TYPE
    )
    answers = parts_of(answer.headers["content-type"], answer.body)
    assert answers[1].body == b"1"


def test_a_policy_is_one_of_each_operation(
    one_server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(one_server, "usecase", "brief")
    parts = [
        op("insert", "a", b"1", x_sn_expiration="ttl:1h"),
        op("insert", "b", b"1"),
        op("insert", "c", b"1", x_sn_expiration="ttl:0s"),
        op("get", "c"),
    ]
    answers = done(one_server, parts)
    assert [answers[index].status[:3] for index in range(4)] == ["201", "400", "201", "404"]
