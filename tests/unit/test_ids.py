"""Identifiers are well-formed, and different processes create different ones."""

import os
import time
from uuid import RFC_4122, UUID

from shared.ids import new_command_id, new_run_id, random_hex


def test_ids_are_uuids_of_their_version() -> None:
    for made, version in ((new_run_id(), 7), (new_command_id(), 4)):
        assert str(UUID(made)) == made
        assert (UUID(made).version, UUID(made).variant) == (version, RFC_4122)


def test_a_run_id_begins_with_the_moment_it_was_made() -> None:
    before = time.time_ns() // 1_000_000
    millis = UUID(new_run_id()).int >> 80
    assert before <= millis <= time.time_ns() // 1_000_000


def test_ids_do_not_repeat() -> None:
    assert len({new_run_id() for _ in range(10_000)} | {new_command_id() for _ in range(10_000)}) == 20_000


def test_random_digits_are_as_many_as_asked_for() -> None:
    assert {len(random_hex(16)) for _ in range(2_000)} == {16}


def test_a_forked_process_does_not_repeat_its_parents_ids() -> None:
    # A gateway's workers are forked from one process.
    ends, begins = os.pipe()
    if (child := os.fork()) == 0:
        os.write(begins, f"{new_command_id()} {random_hex(32)}".encode())
        os._exit(0)
    os.close(begins)
    os.waitpid(child, 0)
    with os.fdopen(ends) as pipe:
        theirs = pipe.read().split()
    assert len(theirs) == 2
    assert theirs != [new_command_id(), random_hex(32)]
