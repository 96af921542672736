"""What holds in each of the four situations, in a process of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .here import NO_GEVENT, PATCHED, SITUATIONS, THREADS

if TYPE_CHECKING:
    from .conftest import Run

in_every_situation = pytest.mark.parametrize("situation", SITUATIONS)


@in_every_situation
def test_a_crowd_shares_five_connections_and_every_byte_is_right(run: Run, situation: str) -> None:
    run(situation, "load", "every_byte_comes_back")


def test_native_threads_share_with_patched_greenlets(run: Run) -> None:
    run(PATCHED, "load", "native_threads_share_with_patched_greenlets")


@in_every_situation
def test_others_run_while_one_waits_for_a_slot(run: Run, situation: str) -> None:
    run(situation, "load", "others_run_while_one_waits")


@in_every_situation
def test_others_run_while_large_content_moves(run: Run, situation: str) -> None:
    run(situation, "load", "others_run_while_large_content_moves")


@in_every_situation
def test_others_run_while_a_download_fetches_ranges_at_once(run: Run, situation: str) -> None:
    run(situation, "downloads", "others_run_while_ranges_are_fetched")


@in_every_situation
def test_downloads_that_are_interrupted_leave_nothing(run: Run, situation: str) -> None:
    run(situation, "downloads", "what_is_interrupted_leaves_nothing")


@in_every_situation
def test_others_run_while_segments_move(run: Run, situation: str) -> None:
    run(situation, "large", "others_run_while_segments_move")


@in_every_situation
def test_large_writes_that_are_interrupted_leave_nothing(run: Run, situation: str) -> None:
    run(situation, "large", "what_is_interrupted_leaves_nothing")


@in_every_situation
def test_parts_are_put_and_completed_at_once(run: Run, situation: str) -> None:
    run(situation, "parts", "one_object_is_made_of_parts_put_at_once")


@in_every_situation
def test_tasks_at_once_are_what_the_situation_has(run: Run, situation: str) -> None:
    run(situation, "downloads", "tasks_at_once_are_what_the_situation_has")


@in_every_situation
def test_a_visitor_who_leaves_gives_the_slot_back(run: Run, situation: str) -> None:
    run(situation, "visitors", "who_leaves_gives_the_slot_back")


@in_every_situation
def test_visitors_who_stall_hold_the_pool_and_nothing_more(run: Run, situation: str) -> None:
    run(situation, "visitors", "those_who_stall_hold_the_pool_and_nothing_more")


@in_every_situation
def test_visitors_who_stall_are_given_up_by_the_kernel(run: Run, situation: str) -> None:
    run(situation, "visitors", "the_kernels_time_out_ends_those_who_stall")


@in_every_situation
def test_every_operation_of_a_batch_ends_and_others_run(run: Run, situation: str) -> None:
    run(situation, "batches", "every_operation_ends_and_others_run")


@in_every_situation
def test_operations_of_a_batch_run_in_what_the_situation_has(run: Run, situation: str) -> None:
    run(situation, "batches", "operations_run_in_what_the_situation_has")


@in_every_situation
def test_a_batch_that_is_left_runs_to_its_end(run: Run, situation: str) -> None:
    run(situation, "batches", "what_is_closed_or_dropped_runs_to_its_end")


def test_a_batch_whose_greenlets_are_killed_keeps_nothing(run: Run) -> None:
    run(PATCHED, "batches", "killed_workers_keep_nothing")


@in_every_situation
def test_a_batch_outlives_errors_and_renewals(run: Run, situation: str) -> None:
    run(situation, "batches", "errors_and_renewals_in_the_middle_lose_nothing")


@in_every_situation
def test_a_fork_in_the_middle_of_a_batch_harms_neither(run: Run, situation: str) -> None:
    run(situation, "batches", "a_fork_in_the_middle_harms_neither")


@in_every_situation
def test_a_child_undoes_nothing_of_a_large_put(run: Run, situation: str) -> None:
    run(situation, "batches", "a_child_undoes_nothing_of_a_large_put")


@in_every_situation
def test_a_program_that_ends_in_the_middle_of_a_batch_ends(run: Run, situation: str) -> None:
    run(situation, "batches", "a_program_that_ends_in_the_middle_ends")


@in_every_situation
def test_an_error_that_is_kept_keeps_no_socket(run: Run, situation: str) -> None:
    run(situation, "load", "an_error_that_is_kept_keeps_no_socket")


@in_every_situation
def test_closing_the_pool_closes_its_sockets(run: Run, situation: str) -> None:
    run(situation, "load", "closing_the_pool_closes_its_sockets")


@in_every_situation
def test_dropped_streams_give_their_slots_back(run: Run, situation: str) -> None:
    run(situation, "load", "dropped_streams_give_their_slots_back")


@in_every_situation
def test_a_cold_start_authenticates_once(run: Run, situation: str) -> None:
    run(situation, "tokens", "a_cold_start_authenticates_once")


@in_every_situation
def test_revoked_tokens_are_renewed_once(run: Run, situation: str) -> None:
    run(situation, "tokens", "revoked_tokens_are_renewed_once")


def test_the_next_leads_when_the_leader_is_killed(run: Run) -> None:
    run(PATCHED, "tokens", "the_next_leads_when_the_leader_is_killed")


@pytest.mark.parametrize("situation", [PATCHED, THREADS, NO_GEVENT])
def test_the_impatient_share_a_failure(run: Run, situation: str) -> None:
    run(situation, "tokens", "the_impatient_share_a_failure")


@in_every_situation
def test_children_and_parent_work_on_sockets_of_their_own(run: Run, situation: str) -> None:
    run(situation, "forks", "children_and_parent_work_on_sockets_of_their_own")


def test_a_child_takes_nothing_from_a_greenlet_that_receives(run: Run) -> None:
    run(PATCHED, "forks", "a_child_takes_nothing_from_a_greenlet_that_receives")


@in_every_situation
def test_a_checkout_held_through_a_fork_is_harmless(run: Run, situation: str) -> None:
    run(situation, "forks", "a_checkout_held_through_a_fork_is_harmless")


@in_every_situation
def test_a_child_does_not_inherit_locks_that_were_held(run: Run, situation: str) -> None:
    run(situation, "forks", "a_fork_while_the_locks_are_held_leaves_the_child_none_of_them")


@in_every_situation
def test_a_services_permits_are_shared_and_come_back(run: Run, situation: str) -> None:
    run(situation, "permits", "many_share_few_and_all_come_back")


@in_every_situation
def test_no_wake_up_is_lost(run: Run, situation: str) -> None:
    run(situation, "wakeups", "nobody_is_forgotten")


@in_every_situation
def test_locks_are_native(run: Run, situation: str) -> None:
    run(situation, "wakeups", "locks_are_native")


@in_every_situation
def test_a_pause_lets_others_run(run: Run, situation: str) -> None:
    run(situation, "wakeups", "a_pause_lets_others_run")
