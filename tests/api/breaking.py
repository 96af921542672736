"""What lies between a client and a server, and breaks: after some bytes, or before an answer."""

from __future__ import annotations

import re
import socket
import threading
from collections import deque
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: After how many bytes of its content a request breaks off; or it arrives, and its answer does not.
Break: TypeAlias = "int | Literal['answer'] | None"

_CONTENT = re.compile(rb"\r\nupload-offset: [0-9]")


class Path:
    """Carries connections to a server; of requests that bring content of an upload, some break.

    :param breaks: of those requests, in their order; after the last, nothing breaks.
    """

    def __init__(self, port: int, breaks: Iterable[Break]) -> None:
        self._target = port
        self.breaks = deque(breaks)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._pairs: list[_Pair] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join()
        for pair in self._pairs:
            pair.break_off()
        for thread in self._threads[1:]:
            thread.join()
        for pair in self._pairs:
            pair.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._target))
            pair = _Pair(near, far, self.breaks)
            self._pairs.append(pair)
            for carry in (pair.there, pair.back):
                thread = threading.Thread(target=carry)
                self._threads.append(thread)
                thread.start()


class _Pair:
    def __init__(self, near: socket.socket, far: socket.socket, breaks: deque[Break]) -> None:
        self._near = near
        self._far = far
        self._breaks = breaks
        self._keeps_answer = False

    def there(self) -> None:
        left: int | None = None
        with suppress(OSError):
            while block := self._near.recv(65536):
                if _CONTENT.search(block):
                    fault = self._breaks.popleft() if self._breaks else None
                    self._keeps_answer = fault == "answer"
                    head = block.index(b"\r\n\r\n") + 4
                    left = head + fault if isinstance(fault, int) else None
                if left is not None:
                    block = block[:left]
                    left -= len(block)
                self._far.sendall(block)
                if left == 0:
                    break
        self.break_off()

    def back(self) -> None:
        with suppress(OSError):
            while block := self._far.recv(65536):
                if self._keeps_answer:
                    break
                self._near.sendall(block)
        self.break_off()

    def break_off(self) -> None:
        for end in (self._near, self._far):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._near.close()
        self._far.close()


@contextmanager
def breaking(port: int, breaks: Iterable[Break]) -> Iterator[Path]:
    path = Path(port, breaks)
    try:
        yield path
    finally:
        path.close()
