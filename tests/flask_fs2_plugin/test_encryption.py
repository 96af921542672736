"""Encrypted storages of flask-fs2: every way in encrypts, every way out decrypts."""

from __future__ import annotations

import io
import tempfile
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.fernet import InvalidToken
from flask_fs.crypto import AES256FileEncryptor
from werkzeug.datastructures import FileStorage

if TYPE_CHECKING:
    from pathlib import Path

    from flask import Flask

    from .conftest import MakeFiles

KEY = AES256FileEncryptor.generate_key()


@pytest.fixture
def secret(make_files: MakeFiles) -> Any:
    return make_files(aes256_encrypted=True, aes256_key=KEY)


@pytest.fixture
def temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files are made during a test."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 1000])
def test_what_was_written_is_read(secret: Any, size: int) -> None:
    content = bytes(range(250)) * 4
    secret.write("a", content[:size])
    assert secret.read("a") == content[:size]
    assert content[:16] not in secret.backend.read("a")


# Of 100 bytes, flask-fs2 stores 169. In chunks of 32, 40 or 144, 9 or 25 are left over.
@pytest.mark.parametrize("chunk_size", [1, 5, 16, 31, 32, 33, 40, 144, 160, 168, 169, 1000])
def test_chunks_of_any_size_are_decrypted(secret: Any, chunk_size: int) -> None:
    secret.write("a", b"x" * 100)
    assert len(secret.backend.read("a")) == 169
    assert b"".join(secret.read_chunks("a", chunk_size)) == b"x" * 100
    assert secret.backend.pool.stats().lent == 0


def test_the_last_chunk_of_a_long_file_is_decrypted(secret: Any) -> None:
    content = b"x" * (1024 * 1024 - 60)  # Stored, it leaves 9 bytes for the second chunk.
    secret.write("a", content)
    assert len(secret.backend.read("a")) == 1024 * 1024 + 9
    assert b"".join(secret.read_chunks("a")) == content


@pytest.mark.parametrize("content", [lambda: "té", lambda: FileStorage(io.BytesIO("té".encode()))])
def test_text_and_uploads_are_encrypted(secret: Any, content: Any) -> None:
    secret.write("a", content())
    assert secret.read("a") == "té".encode()
    assert "té".encode() not in secret.backend.read("a")


@pytest.mark.parametrize("write", ["write", "save"])
def test_a_file_is_encrypted_and_left_open(secret: Any, write: str, temporary_files: Path) -> None:
    file = io.BytesIO(b"plain" * 100_000)
    if write == "write":
        secret.write("a", file)
    else:
        secret.save(file, "a")
    assert secret.read("a") == b"plain" * 100_000
    assert b"plain" not in secret.backend.read("a")
    assert not file.closed
    assert list(temporary_files.iterdir()) == []


@pytest.mark.parametrize("mode", ["w", "wb"])
def test_an_open_file_is_encrypted_and_decrypted(secret: Any, mode: str) -> None:
    content: Any = "plain" if mode == "w" else b"plain"
    with secret.open("a", mode) as file:
        file.write(content)
    assert b"plain" not in secret.backend.read("a")
    with secret.open("a", mode.replace("w", "r")) as file:
        assert file.read() == content


def test_content_that_names_a_local_file_is_content(secret: Any, tmp_path: Path) -> None:
    path = tmp_path / "private"
    path.write_text("not to be stored")
    for name in (str(path), str(path).encode()):
        secret.write("a", name, overwrite=True)
        assert secret.read("a") == str(path).encode()


def test_either_plugin_reads_what_the_other_wrote(secret: Any) -> None:
    theirs = AES256FileEncryptor(KEY)
    secret.write("a", b"ours")
    assert theirs.decrypt_entire_file(secret.backend.read("a")) == b"ours"
    secret.backend.write("b", theirs.encrypt_content(b"theirs"))
    assert secret.read("b") == b"theirs"


def opened(secret: Any) -> bytes:
    with secret.open("a", "rb") as file:
        content: bytes = file.read()
    return content


@pytest.mark.parametrize(
    "read",
    [lambda secret: secret.read("a"), lambda secret: list(secret.read_chunks("a", 100)), opened],
    ids=["read", "chunks", "open"],
)
@pytest.mark.parametrize("position", [0, -1], ids=["beginning", "end"])
def test_a_forged_file_is_refused_and_holds_no_connection(
    secret: Any, read: Any, position: int
) -> None:
    secret.write("a", b"x" * 2_000_000)
    stored = bytearray(secret.backend.read("a"))
    stored[position] ^= 1
    secret.backend.write("a", stored)
    with pytest.raises(InvalidToken) as caught:
        read(secret)
    assert caught.tb  # While somebody holds the error, with all that its frames hold.
    assert secret.backend.pool.stats().lent == 0


def test_a_file_that_was_never_encrypted_is_refused(secret: Any) -> None:
    secret.backend.write("a", b"plain" * 100)
    with pytest.raises(InvalidToken), secret.open("a"):
        pass


@pytest.mark.parametrize("taken", [0, 1])
def test_decrypted_chunks_that_are_dropped_give_their_connection_back(
    secret: Any, taken: int
) -> None:
    secret.write("a", b"x" * 1000)
    chunks = secret.read_chunks("a", 100)
    for _ in range(taken):
        next(chunks)
    assert secret.backend.pool.stats().lent == 1
    del chunks
    assert secret.backend.pool.stats().lent == 0


def test_a_served_file_is_decrypted(secret: Any, app: Flask) -> None:
    secret.write("a.txt", b"x" * 100_000)
    answer = app.test_client().get(f"/fs/{secret.name}/a.txt")
    assert answer.data == b"x" * 100_000
    assert "Content-Length" not in answer.headers
