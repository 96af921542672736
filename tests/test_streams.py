"""A stream that another thread or greenlet closes while it is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from flask_fs_swift.blocks import BLOCK
from flask_fs_swift.ranges import Span
from flask_fs_swift.streams import PIECE, ObjectStream

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask_fs_swift.objects import ObjectInfo

SIZE = 2 * BLOCK


class Closing:
    """Downloads, in one of which something happens: the stream is closed from elsewhere.

    :param moment: "broken", "over", "received": what the read brings during which that happens;
        "resumed": it happens while the rest is asked for.
    """

    def __init__(self, moment: str) -> None:
        self.close: Callable[[], None] = lambda: pytest.fail("this was read too early")
        self.held = 1
        self.resumed = 0
        self._moment = moment

    def read(self, size: int, /) -> bytes:
        return bytes(self._received(size))

    def readinto(self, room: memoryview, /) -> int:
        return self._received(len(room))

    def _received(self, most: int) -> int:
        if self._moment != "resumed":
            self.close()
        if self._moment in {"broken", "resumed"}:
            raise ConnectionError("the socket was closed")
        return most // 2 if self._moment == "received" else 0

    def resume(self, _received: int, _cause: Exception | None, /) -> Closing:
        assert (self.held, self.resumed) == (0, 0), "what broke was given back, once"
        self.held += 1
        self.resumed += 1
        self.close()
        return self

    def finish(self) -> None:
        pytest.fail("it never ends")

    def abort(self) -> None:
        self.held -= 1


def read_all(stream: ObjectStream) -> object:
    return stream.read()


def read_little(stream: ObjectStream) -> object:
    return stream.read(PIECE)


def read_into(stream: ObjectStream) -> object:
    return stream.readinto(bytearray(SIZE))


def describe() -> ObjectInfo:
    raise AssertionError("nobody asks")


@pytest.mark.parametrize(
    ("moment", "read", "size"),
    [
        *((moment, read_all, None) for moment in ("broken", "over", "received")),
        *(
            (moment, read, SIZE)
            for moment in ("broken", "over", "received", "resumed")
            for read in (read_all, read_little, read_into)
        ),
    ],
)
def test_a_stream_that_is_closed_while_it_is_read_is_an_error_and_holds_nothing(
    moment: str, read: Callable[[ObjectStream], object], size: int | None
) -> None:
    download = Closing(moment)
    stream = ObjectStream(
        "a.bin",
        download,
        describe=describe,
        resume=download.resume,
        md5_of_object=None,
        span=None if size is None else Span(0, size, size),
    )
    ended: list[BaseException | None] = []
    stream.on_end = lambda _, error: ended.append(error)
    download.close = stream.close
    with pytest.raises(ValueError, match="closed"):
        read(stream)
    assert ended == [None], "its end is told once"
    assert (download.held, download.resumed) == (0, int(moment == "resumed"))
