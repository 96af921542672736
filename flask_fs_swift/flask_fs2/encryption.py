"""flask-fs2's encryption of whole files, without its traps.

The format is flask-fs2's own: a version byte, the time, 16 bytes of IV, AES-128 in CBC
mode, and a MAC of 32 bytes at the end. Each file can be read with either plugin.
"""

from __future__ import annotations

import io
import tempfile
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from flask_fs.crypto import AES256FileEncryptor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Self

    from flask_fs_swift.blocks import Readable

#: Bytes of the MAC.
_MAC = 32


class Encryptor(AES256FileEncryptor):  # type: ignore[misc]
    """What a storage of flask-fs2 encrypts and decrypts with. Lives as its backend."""

    def encrypt_content(self, content: str | bytes) -> bytes:
        """Encrypt bytes, or text as UTF-8."""
        encrypted: bytes = super().encrypt_content(_as_bytes(content))
        return encrypted

    def encrypt_file(self, src_content: Readable | str | bytes, *args: Any, **options: Any) -> Any:
        """Encrypt a file into a temporary one, which is the caller's to remove; return its path.

        The caller's file is left open. Content that is the path of a local file is
        content all the same: who may name what is stored may not name what is read.
        """
        named = isinstance(src_content, (str, bytes))
        source = io.BytesIO(_as_bytes(src_content)) if named else src_content
        return super().encrypt_file(_LeftOpen(source), *args, **options)

    @contextmanager
    def encrypted(self, content: Readable) -> Iterator[IO[bytes]]:
        """Lend the encrypted content as a file that ends with the block."""
        with tempfile.NamedTemporaryFile() as file:
            self.encrypt_file(content, file.name)
            yield file

    def decrypt_file_from_generator(
        self, file_generator: Iterator[bytes], ttl: int | None = None
    ) -> Iterator[bytes]:
        """Yield the decrypted chunks, and close what they come from.

        What it yields was not authenticated before its end has come: until then, it may
        have been forged.

        :raises cryptography.fernet.InvalidToken: the file is not what was encrypted.
        """
        try:
            yield from super().decrypt_file_from_generator(_with_whole_mac(file_generator), ttl)
        finally:
            close = getattr(file_generator, "close", None)
            if close is not None:
                close()


def _with_whole_mac(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield chunks of which the last has the whole MAC: flask-fs2 looks for it there."""
    held = b""
    for chunk in chunks:
        held += chunk
        if len(held) >= 2 * _MAC:
            yield held[:-_MAC]
            held = held[-_MAC:]
    yield held


def _as_bytes(content: Any) -> bytes:
    return content.encode() if isinstance(content, str) else bytes(content)


class _LeftOpen:
    """A file that a ``with`` block does not close."""

    def __init__(self, file: Any) -> None:
        self.read = file.read

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave it open."""
