"""What a batch takes of the pool, by right and while nobody minds."""

from __future__ import annotations

import gc
import math
from typing import TYPE_CHECKING

import pytest
from situations.here import NativeTask, until

from flask_fs_swift import AtCapacity, FSError, Get, Pool, PoolExhaustedError, Put
from flask_fs_swift.parallel import Results
from flask_fs_swift.window import OpenRoom, Window

from .gates import Counted, Place, threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def put(number: int) -> Put:
    return Put(f"{number}", b"x")


@pytest.mark.parametrize("free", [*range(1, 120), 500])
def test_a_tenth_of_the_free_slots_is_reserved_rounded_up(free: int) -> None:
    place = Place(600)
    held = [place.pool.checkout() for _ in range(600 - free)]
    outcomes = place.files.many(iter([]))
    assert place.pool.stats().lent - len(held) == -(-free // 10)
    outcomes.close()
    for checkout in held:
        checkout.checkin()
    place.assert_all_is_back()


@pytest.mark.parametrize("share", [0.01, 0.07, 0.29, 1 / 3, 0.5, 1.0])
@pytest.mark.parametrize("size", [1, 2, 3, 10, 70, 100])
def test_the_share_is_a_setting_and_the_ceiling_bounds_it(share: float, size: int) -> None:
    place = Place(size, share=share, ceiling=0.5)
    outcomes = place.files.many(iter([]))
    wanted = min(math.ceil(round(size * share, 6)), max(1, size // 2))
    assert place.pool.stats().batched == wanted
    outcomes.close()


def test_no_more_is_reserved_than_can_run() -> None:
    place = Place(100)
    with place.files.many(iter([]), concurrency=3):
        assert place.pool.stats().lent == 3


def test_without_a_free_slot_the_call_fails_and_pulls_nothing() -> None:
    place = Place(2)
    held = [place.pool.checkout() for _ in range(2)]
    source = Counted(put)
    with pytest.raises(AtCapacity, match="no connection is free"):
        place.files.many(source)  # type: ignore[arg-type]
    assert source.pulled == 0
    held.pop().checkin()
    place.files.many(source).close()  # type: ignore[arg-type]
    held.pop().checkin()
    place.assert_all_is_back()


@pytest.mark.parametrize("concurrency", [0, -1])
def test_a_concurrency_below_one_is_refused_before_anything(concurrency: int) -> None:
    place = Place()
    source = Counted(put)
    with pytest.raises(ValueError, match="at least 1"):
        place.files.many(source, concurrency=concurrency)  # type: ignore[arg-type]
    assert source.pulled == 0
    place.assert_all_is_back()


def test_what_is_no_input_reserves_nothing() -> None:
    place = Place()
    with pytest.raises(TypeError):
        place.files.many(3)  # type: ignore[arg-type]
    place.assert_all_is_back()


def test_it_is_reserved_before_anything_is_pulled_and_until_the_last_has_ended() -> None:
    place = Place(20).shut()
    source = Counted(put, 2)
    outcomes = place.files.many(source)  # type: ignore[arg-type]
    assert (source.pulled, place.pool.stats().batched) == (0, 2)
    place.yard.let("1")
    assert next(outcomes).index == 1
    assert place.pool.stats().batched == 2
    place.yard.let("0")
    assert next(outcomes).index == 0
    place.assert_all_is_back()
    assert list(outcomes) == []


def test_alone_it_runs_as_wide_as_the_ceiling() -> None:
    place = Place(10).shut()
    outcomes = place.files.many(Counted(put, 100))  # type: ignore[arg-type]
    task = NativeTask(lambda: len(list(outcomes)))
    until(lambda: len(place.yard.inside) == 8)
    assert (place.pool.stats().batched, place.pool.stats().lent) == (8, 8)
    place.yard.let_all()
    assert task.result() == 100
    assert place.yard.most == 8
    place.assert_all_is_back()


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 10, 35])
def test_the_width_never_exceeds_the_ceiling(size: int) -> None:
    place = Place(size)
    assert len(list(place.files.many((put(n) for n in range(200)), concurrency=1000))) == 200
    assert place.yard.most <= max(1, size * 8 // 10)
    place.assert_all_is_back()


@pytest.mark.parametrize("concurrency", [1, 2, 5])
def test_the_width_never_exceeds_the_concurrency(concurrency: int) -> None:
    place = Place(20)
    list(place.files.many((put(n) for n in range(100)), concurrency=concurrency))
    assert place.yard.most <= concurrency


@pytest.mark.parametrize(
    ("asked", "width"), [(None, 16), (1, 1), (50, 50), (100, 100), (101, 100), (10**9, 100)]
)
def test_without_a_pool_it_is_as_wide_as_asked_within_reason(asked: int | None, width: int) -> None:
    assert OpenRoom(asked).width == width


def test_on_a_busy_site_it_keeps_to_what_it_reserved() -> None:
    place = Place(10).shut()
    outcomes = place.files.many(put(n) for n in range(30))
    held = [place.pool.checkout() for _ in range(9)]
    waiting = NativeTask(lambda: place.pool.checkout().checkin())
    until(lambda: place.pool.stats().waiting == 1)
    task = NativeTask(lambda: [outcome.index for outcome in outcomes])
    until(lambda: len(place.yard.inside) == 1)
    for number in range(29):
        place.yard.let(str(number))
        until(lambda number=number: f"put {number + 1}" in place.yard.began)  # type: ignore[misc]
    place.yard.let("29")
    assert task.result() == list(range(30))
    assert place.yard.most == 1
    for checkout in held:
        checkout.checkin()
    waiting.result()
    place.assert_all_is_back()


def test_who_waits_gets_the_first_borrowed_slot_that_an_operation_leaves() -> None:
    place = Place(10).shut()
    outcomes = place.files.many(put(n) for n in range(100))
    task = NativeTask(lambda: len(list(outcomes)))
    until(lambda: len(place.yard.inside) == 8)
    held = [place.pool.checkout() for _ in range(2)]
    waiter = NativeTask(place.pool.checkout)
    until(lambda: place.pool.stats().waiting == 1)
    # The last that began has a slot that was borrowed, because one alone was reserved.
    place.yard.let("7")
    waiter.result().checkin()
    for checkout in held:
        checkout.checkin()
    place.yard.let_all()
    assert task.result() == 100
    place.assert_all_is_back()


def test_nothing_starts_on_a_borrowed_slot_while_somebody_waits() -> None:
    place = Place(10).shut()
    outcomes = place.files.many(put(n) for n in range(100))
    task = NativeTask(lambda: len(list(outcomes)))
    until(lambda: len(place.yard.inside) == 8)
    held = [place.pool.checkout() for _ in range(2)]
    waiters = [NativeTask(place.pool.checkout) for _ in range(8)]
    until(lambda: place.pool.stats().waiting == 8)
    place.yard.let(*(str(number) for number in range(1, 8)))
    until(lambda: sum(bool(waiter._outcome) for waiter in waiters) == 7)
    assert len(place.yard.began) == 8
    place.yard.let("0")
    until(lambda: len(place.yard.began) == 9)
    assert len(place.yard.inside) == 1
    for checkout in held:
        checkout.checkin()
    for waiter in waiters:
        waiter.result().checkin()
    place.yard.let_all()
    assert task.result() == 100
    place.assert_all_is_back()


def test_two_batches_share_what_the_ceiling_allows() -> None:
    place = Place(20).shut()
    one = place.files.many(put(n) for n in range(50))
    other = place.files.many(put(100 + n) for n in range(50))
    tasks = [NativeTask(lambda: len(list(one))), NativeTask(lambda: len(list(other)))]
    until(lambda: len(place.yard.inside) == 16)
    place.yard.let_all()
    assert [task.result() for task in tasks] == [50, 50]
    assert place.yard.most == 16
    place.assert_all_is_back()


def test_it_widens_again_when_the_others_have_gone() -> None:
    place = Place(10).shut()
    held = [place.pool.checkout() for _ in range(9)]
    outcomes = place.files.many(put(n) for n in range(100))
    task = NativeTask(lambda: len(list(outcomes)))
    until(lambda: len(place.yard.inside) == 1)
    for checkout in held:
        checkout.checkin()
    place.yard.let("0")
    until(lambda: len(place.yard.inside) == 8)
    place.yard.let_all()
    assert task.result() == 100


def test_a_pool_of_one_is_the_batchs_while_it_runs() -> None:
    place = Place(1)
    outcomes = place.files.many(map(put, range(100)))
    next(outcomes)
    with pytest.raises(PoolExhaustedError):
        place.pool.checkout(0.01)
    list(outcomes)
    place.assert_all_is_back()


def test_a_batch_that_was_never_begun_gives_everything_back() -> None:
    place = Place(20)
    outcomes = place.files.many([put(0)])
    assert place.pool.stats().lent == 2
    del outcomes
    gc.collect()
    place.assert_all_is_back()


def test_an_operation_has_one_connection() -> None:
    place = Place(20)
    seat = Window(place.pool, None).seat()
    assert seat.take()
    checkout = seat.checkout()
    with pytest.raises(PoolExhaustedError, match="one connection"):
        seat.checkout()
    checkout.checkin()
    seat.checkout().checkin()


@pytest.mark.parametrize("how", ["checkin", "discard", "__del__"])
def test_what_outlives_its_operation_or_its_batch_still_comes_back(how: str) -> None:
    place = Place(20)
    window = Window(place.pool, None)
    seats = [window.seat() for _ in range(3)]
    assert all(seat.take() for seat in seats)
    checkouts = [seat.checkout() for seat in seats]
    assert seats[0].keep(), "with another slot"
    for seat in seats:
        seat.leave()
    window.release()
    assert place.pool.stats().lent == 3
    while checkouts:
        checkout = checkouts.pop()
        if how == "__del__":
            del checkout
        else:
            getattr(checkout, how)()
    place.assert_all_is_back()


def test_a_connection_that_breaks_in_a_batch_is_closed_and_its_slot_stays() -> None:
    place = Place(10)
    place.yard.errors["1"] = OSError("broken")
    outcomes = list(place.files.many([put(0), put(1), put(2)], concurrency=1))
    assert [type(outcome.error) for outcome in outcomes] == [type(None), OSError, type(None)]
    assert [wire.closed for wire in place.wires] == [True, False]
    assert place.pool.stats().discarded == 1
    place.assert_all_is_back()


def test_a_pool_that_is_closed_ends_a_batch_soon() -> None:
    place = Place(10).shut()
    outcomes = place.files.many(put(n) for n in range(1000))
    task = NativeTask(lambda: [outcome.error for outcome in outcomes])
    until(lambda: len(place.yard.inside) == 8)
    closing = NativeTask(lambda: place.pool.close(20))
    until(lambda: place.pool._closing is not None)
    place.yard.let_all()
    errors = task.result()
    assert closing.result()
    assert len(errors) == 1000
    assert {type(error) for error in errors} == {type(None), FSError}
    with pytest.raises(FSError, match="closed"):
        place.files.many([])
    assert threads() == []


def test_a_large_put_uses_its_own_slot_only() -> None:
    assert Window(Pool(Place()._open, size=20), None).seat().size == 1


def test_a_get_of_a_path_asks_for_one_range_after_the_other(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(20)
    place.files.write("large", bytes(40 * 1024 * 1024))
    widths: list[int] = []

    def at_once(tasks: Iterable[Callable[[], None]], width: int) -> Results[None]:
        widths.append(width)
        return Results(tasks, width)

    monkeypatch.setattr("flask_fs_swift.fetching.at_once", at_once)
    [outcome] = place.files.many([Get("large", into=f"{tmp_path}/large")])
    assert outcome.error is None
    assert widths == [1]


def test_a_get_of_a_path_uses_its_own_slot_only(tmp_path: object) -> None:
    place = Place(20)
    place.files.write("large", bytes(40 * 1024 * 1024))
    place.yard.most = 0
    [outcome] = place.files.many([Get("large", into=f"{tmp_path}/large")])
    assert outcome.value.size == 40 * 1024 * 1024
    assert place.yard.most == 1
