"""Zstandard, both ways, without ever having more of it than one block.

A few bytes can become a gigabyte. So what is compressed is read in pieces whose size the
reader chooses, and the reader is told where it was too much.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from flask_fs_swift.errors import ConfigError

from .failures import AnswerBroken, TooMuchContent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import ModuleType

#: Bytes that may come out of anything.
HARMLESS = 256 * 1024 * 1024
#: Beyond those: bytes that may come out of one.
RATIO = 1000

#: Below it, a frame may be longer than its content by a little more.
_SMALL = 128 * 1024
_MARK = 16
# The longest header of a frame has 18 bytes.
_TAIL = 18


def need_zstandard() -> ModuleType:
    """Return the package.

    :raises ConfigError: it is not there.
    """
    try:
        import zstandard
    except ModuleNotFoundError as error:
        raise ConfigError(
            "compression needs zstandard: pip install 'flask-fs-swift[api]'"
        ) from error
    return zstandard


def longest(size: int) -> int:
    """Return how many bytes compressed content has at most: what zstd promises.

    :param size: bytes of the content.
    """
    return size + size // 256 + ((_SMALL - size) // 2048 if size < _SMALL else 0)


def compress(content: bytes) -> bytes:
    """Return content as one frame."""
    compressed: bytes = need_zstandard().ZstdCompressor().compress(content)
    return compressed


def compressed(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield one frame of what comes in blocks, block by block."""
    compressor = need_zstandard().ZstdCompressor().compressobj()
    for block in blocks:
        yield compressor.compress(block)
    yield compressor.flush()


class Expansion:
    """Compressed content as it was: frames, one after the other.

    What is cut off in a frame is told from what ends with one by a frame of our own after it,
    with random bytes: only after a whole frame it is read as one.

    :param read: returns at most so many compressed bytes, none at the end.
    :param limit: bytes that may come out; None: 256 MiB, or 1,000 times what came in.
    """

    def __init__(self, read: Callable[[int], bytes], limit: int | None) -> None:
        self._source = _Source(read)
        self._limit = limit
        zstandard = need_zstandard()
        self._error: type[Exception] = zstandard.ZstdError
        self._reader = zstandard.ZstdDecompressor().stream_reader(
            self._source, read_across_frames=True
        )
        # What came out and was not handed out: it may be the mark.
        self._held = b""
        self._handed_out = 0
        self._is_over = False

    def read(self, size: int) -> bytes:
        """Return at most so many bytes, none at the end.

        :raises AnswerBroken: the content is not compressed as it says, or was cut off.
        :raises TooMuchContent: there are more bytes than the limit.
        """
        while not self._is_over:
            try:
                block: bytes = self._reader.read(max(size, 1))
            except self._error as error:
                raise AnswerBroken(f"the content is no zstd: {error}") from error
            held = self._held + block
            at = len(held) - _MARK if block else self._end(held)
            if at > 0:
                self._held = held[at:]
                return self._checked(held[:at])
            self._held = held
        return b""

    def _end(self, held: bytes) -> int:
        self._is_over = True
        if held[-_MARK:] != self._source.mark:
            raise AnswerBroken("the content ends in the middle of a zstd frame")
        return len(held) - _MARK

    def _checked(self, block: bytes) -> bytes:
        self._handed_out += len(block)
        limit = self._limit
        if limit is None:
            limit = max(HARMLESS, RATIO * self._source.count)
        if self._handed_out > limit:
            raise TooMuchContent(f"the content has more than {limit} bytes, of {self._source}")
        return block


class _Source:
    """Compressed content, and one more frame: our mark."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self.mark = secrets.token_bytes(_MARK)
        # The checksum after it: no content can end with the mark as it stands here.
        self._last: bytes = need_zstandard().ZstdCompressor(write_checksum=True).compress(self.mark)
        # The last bytes that came. The library forgets a header whose five first bytes come
        # alone: so they come with what follows them, at the end with our frame.
        self._tail = b""
        #: Bytes that came.
        self.count = 0

    def __str__(self) -> str:
        return f"{self.count} that came"

    def read(self, size: int) -> bytes:
        """Return some bytes."""
        while True:
            block: bytes = self._read(size)
            self.count += len(block)
            if not block:
                block = self._tail + self._last
                self._tail = self._last = b""
                return block
            block = self._tail + block
            self._tail = block[-_TAIL:]
            if len(block) > _TAIL:
                return block[:-_TAIL]
