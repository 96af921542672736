"""Uploads in parts, whose parts come from many at once: one object, and others run."""

from __future__ import annotations

import random
from functools import partial

from . import here
from .downloads import assert_no_thread_is_left
from .swift import assert_all_is_back, new_storage

PARTS = 12
SIZE = 3 * 1024 * 1024
TICKS = 10


def one_object_is_made_of_parts_put_at_once() -> None:
    """Twelve parts over the five connections of the pool, some of them put again elsewhere."""
    files, pool = new_storage()
    contents = {number: random.randbytes(SIZE + number) for number in range(1, PARTS + 1)}
    upload = files.start_upload("large")
    resumed = files.resume_upload("large", upload.id)
    done: list[int] = []
    ticks: list[bool] = []

    def tick() -> None:
        while len(done) < PARTS:
            ticks.append(True)
            here.nap()

    def put(number: int) -> None:
        try:
            if number % 3 == 0:
                resumed.put_part(number, bytes(1000))
            upload.put_part(number, contents[number])
        finally:
            done.append(number)

    here.at_once([partial(put, number) for number in contents] + [tick])
    assert len(ticks) >= TICKS, len(ticks)
    parts = upload.list_parts()
    infos = here.at_once([partial(each.complete, parts) for each in (upload, resumed)])
    assert len({info.etag for info in infos}) == 1
    assert files.read("large") == b"".join(contents.values())
    assert list(files.list_uploads()) == []
    assert_all_is_back(pool)
    assert_no_thread_is_left()
