"""The queueing model agrees with Erlang's tables, with a simulation, and with itself."""

from __future__ import annotations

import math
from fractions import Fraction
from random import Random
from statistics import mean, pstdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.queueing import simulation
from bench.queueing.__main__ import assumptions, sizes, slow_swift
from bench.queueing.lending import Order, lend, lend_in_child
from bench.queueing.model import Load, Queue, erlang_b, erlang_c, smallest_pool, workers
from bench.queueing.simulation import Waits, calls, constant, exponential, long_tailed, queue

COUNT = 100_000  # calls
LAN = Load(1000, 0.02)  # 20 erlangs

loads = st.builds(Load, st.floats(0.1, 2000), st.floats(0.001, 0.1))
shares = st.floats(0.001, 0.5)


# The model.


@pytest.mark.parametrize("offered", [0.05, 0.5, 0.99])
def test_with_one_connection_the_share_that_waits_is_the_utilisation(offered: float) -> None:
    assert erlang_c(1, offered) == pytest.approx(offered)


@pytest.mark.parametrize("offered", [0.1, 1.0, 1.9])
def test_with_two_connections_it_is_the_textbooks_fraction(offered: float) -> None:
    busy = offered / 2
    assert erlang_c(2, offered) == pytest.approx(2 * busy**2 / (1 + busy))


@pytest.mark.parametrize(("size", "offered"), [(10, 4.461), (30, 20.34), (100, 84.06)])
def test_blocking_is_that_of_the_tables_for_one_percent(size: int, offered: float) -> None:
    assert erlang_b(size, offered) == pytest.approx(0.01, rel=2e-3)


@pytest.mark.parametrize(("size", "share"), [(11, 0.682), (14, 0.174)])
def test_waiting_is_that_of_the_tables_for_ten_erlangs(size: int, share: float) -> None:
    assert erlang_c(size, 10) == pytest.approx(share, abs=5e-4)


@pytest.mark.parametrize("size", [3, 20, 60])
def test_the_recursion_gives_what_the_sum_of_the_formula_gives(size: int) -> None:
    offered = Fraction(size * 4, 5)
    terms = [offered**taken / math.factorial(taken) for taken in range(size)]
    last = offered**size / math.factorial(size) * size / (size - offered)
    assert erlang_c(size, float(offered)) == pytest.approx(float(last / (sum(terms) + last)))


def test_large_pools_neither_overflow_nor_vanish() -> None:
    assert 0.009 < erlang_c(1077, 1000) < 0.01 < erlang_c(1076, 1000)


def test_a_pool_without_load_lets_nobody_wait() -> None:
    assert Queue(Load(0, 0.02), 1).share_waiting == 0


def test_a_load_that_is_too_much_waits_for_ever() -> None:
    queue = Queue(LAN, 20)
    assert queue.share_waiting == 1
    assert queue.mean_wait == queue.wait_of(0.5) == math.inf
    assert queue.share_longer(1e9) == 1


@given(loads, st.integers(1, 100))
def test_a_larger_pool_lets_fewer_wait(load: Load, size: int) -> None:
    small, large = Queue(load, size), Queue(load, size + 1)
    assert 0 <= large.share_waiting <= small.share_waiting <= 1
    assert large.mean_wait <= small.mean_wait
    assert large.utilisation < small.utilisation


@given(loads, st.floats(0, 1), st.floats(0, 1))
def test_fewer_wait_longer(load: Load, one: float, other: float) -> None:
    queue = Queue(load, smallest_pool(load, 0.2))
    assert queue.share_longer(max(one, other)) <= queue.share_longer(min(one, other))


@given(loads, shares, st.sampled_from([0.0, 0.005, 0.02]))
def test_the_smallest_pool_is_enough_and_one_less_is_not(
    load: Load, share: float, seconds: float
) -> None:
    size = smallest_pool(load, share, seconds)
    assert Queue(load, size).share_longer(seconds) <= share
    if size > 1:
        assert Queue(load, size - 1).share_longer(seconds) > share


@given(loads, shares)
def test_a_share_and_the_wait_of_it_are_inverse(load: Load, share: float) -> None:
    queue = Queue(load, smallest_pool(load, 0.9))
    seconds = queue.wait_of(1 - share)
    if seconds:
        assert queue.share_longer(seconds) == pytest.approx(share)
    else:
        assert queue.share_waiting <= share + 1e-12


def test_the_mean_wait_is_the_area_below_the_shares_that_wait_longer() -> None:
    queue, step = Queue(LAN, 22), 1e-4
    area = sum(queue.share_longer((number + 0.5) * step) * step for number in range(20_000))
    assert queue.mean_wait == pytest.approx(area, rel=1e-4)


@pytest.mark.parametrize(
    ("rate", "cpu", "count"),
    [(10, 0.0021, 1), (350, 0.002, 1), (351, 0.002, 2), (1000, 0.0021, 3), (0, 0.002, 1)],
)
def test_workers_compute_seven_tenths_of_the_time(rate: float, cpu: float, count: int) -> None:
    assert workers(rate, cpu) == count


# The simulation.


def test_the_first_come_take_turns() -> None:
    came = [(0.0, 4.0), (1.0, 1.0), (2.0, 5.0), (3.0, 1.0), (3.5, 1.0)]
    assert queue(came, 2).each == [0, 0, 0, 1.0, 1.5]
    assert queue(came, 3).each == [0, 0, 0, 0, 0.5]


def test_who_has_waited_for_the_time_out_leaves_and_takes_nothing() -> None:
    came = [(0.0, 4.0), (1.0, 9.0), (2.0, 1.0), (4.5, 1.0)]
    waits = queue(came, 1, patience=2.0)
    assert waits.each == [0, math.inf, 2.0, 0.5]
    assert (waits.share_waiting, waits.share_served) == (0.75, 0.75)
    assert waits.mean_wait == pytest.approx(2.5 / 3)


def test_nobody_served_has_no_mean() -> None:
    assert math.isnan(Waits([math.inf]).mean_wait)


def test_the_same_seed_gives_the_same_calls() -> None:
    assert calls(LAN, 50, seed=3) == calls(LAN, 50, seed=3) != calls(LAN, 50, seed=4)


@pytest.mark.parametrize("burst", [1, 10])
def test_calls_come_at_their_rate(burst: int) -> None:
    drawn = calls(LAN, COUNT, burst=burst)
    assert COUNT / drawn[-1][0] == pytest.approx(LAN.rate, rel=0.02)
    assert len({arrival for arrival, _ in drawn}) == COUNT / burst


@pytest.mark.parametrize(
    ("service", "deviation"), [(exponential, 1), (constant, 0), (long_tailed, 3)]
)
def test_times_of_service_have_their_mean_and_deviation(
    service: simulation.Service, deviation: float
) -> None:
    random = Random(1)
    drawn = [service(random, 0.02) for _ in range(COUNT)]
    assert mean(drawn) == pytest.approx(0.02, rel=0.02)
    assert pstdev(drawn) == pytest.approx(0.02 * deviation, rel=0.1, abs=1e-9)


@pytest.mark.parametrize(("size", "load"), [(1, Load(10, 0.05)), (3, Load(100, 0.02)), (24, LAN)])
def test_the_simulation_is_within_a_few_percent_of_the_model(size: int, load: Load) -> None:
    model = Queue(load, size)
    waits = queue(calls(load, 2 * COUNT), size).without_first(COUNT // 10)
    median = math.log(2) * load.service / (size - load.offered)
    assert waits.share_waiting == pytest.approx(model.share_waiting, rel=0.05)
    assert waits.mean_wait == pytest.approx(model.mean_wait, rel=0.08)
    assert waits.share_longer(median) == pytest.approx(model.share_waiting / 2, rel=0.08)


def test_constant_times_wait_half_as_long_as_the_model_says() -> None:
    waits = queue(calls(Load(10, 0.05), COUNT, service=constant), 1)
    assert waits.mean_wait == pytest.approx(Queue(Load(10, 0.05), 1).mean_wait / 2, rel=0.05)


def test_a_long_tail_waits_longer_than_the_model_says() -> None:
    waits = queue(calls(LAN, COUNT, service=long_tailed), 24)
    assert waits.mean_wait > 1.5 * Queue(LAN, 24).mean_wait


def test_bursts_wait_where_the_model_lets_nobody_wait() -> None:
    size = smallest_pool(LAN, 0.01)
    assert queue(calls(LAN, COUNT, burst=10), size).share_waiting > 0.2


def test_too_much_load_is_served_as_far_as_the_pool_reaches() -> None:
    waits = queue(calls(Load(1000, 0.03), COUNT), 20, patience=0.5).without_first(COUNT // 10)
    assert waits.share_served == pytest.approx(20 / 30, rel=0.02)
    assert waits.mean_wait == pytest.approx(0.5, rel=0.1)


@pytest.mark.parametrize("burst", [1, 10])
def test_the_smallest_simulated_pool_is_enough_and_one_less_is_not(burst: int) -> None:
    drawn = calls(LAN, 10_000, burst=burst)
    size = simulation.smallest_pool(drawn, 0.01)
    assert queue(drawn, size).share_waiting <= 0.01 < queue(drawn, size - 1).share_waiting


# A real pool.


def test_a_pool_with_a_connection_for_each_call_lets_nobody_wait() -> None:
    lent = lend(Order(Load(1000, 0.002), size=30, timeout=20, count=30))
    assert lent.waits.each == [0.0] * 30
    assert len(lent.calls) == 30
    assert lent.load.service >= 0.001


def test_calls_that_wait_too_long_leave_the_pool() -> None:
    lent = lend(Order(Load(100_000, 0.2), size=1, timeout=0.001, count=20))
    assert len(lent.calls) == len(lent.waits.each) == 20
    assert 0 < lent.waits.share_served < 1


@pytest.mark.parametrize("kind", ["threads", "greenlets"])
def test_a_process_of_its_own_answers_for_each_call(kind: str) -> None:
    if kind == "greenlets":
        pytest.importorskip("gevent")
    lent = lend_in_child(kind, Order(Load(500, 0.005), size=2, timeout=20, count=40))
    assert len(lent.calls) == len(lent.waits.each) == 40
    assert lent.waits.share_served == 1


# What is printed.


def test_each_rate_has_a_pool_for_each_time_of_service() -> None:
    lines = sizes(cpu=0.0021, busy=0.7)
    assert "| 10 | 5 | 0.05 | 2 | 2 | 1 | 2 | 2 |" in lines
    assert "| 1,000 | 20 | 20 | 32 | 24 | 3 | 14 | 42 |" in lines
    assert len(lines) == 2 + 3 * 4


def test_the_simulated_tables_have_a_line_for_each_load_and_time_out() -> None:
    assert len(assumptions(200)) == 2 + 4
    assert len(slow_swift(200)) == 2 + 3 * 3
