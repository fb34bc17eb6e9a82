"""What many runs leave on a worker."""

from pathlib import Path

from bench.run_files import play


def test_only_the_runs_that_failed_last_leave_files_though_the_worker_was_restarted(tmp_path: Path) -> None:
    left = play(tmp_path, 600, at_once=100, most_failed=10)

    assert left.runs == {f"run-{number}" for number in range(400, 600, 20)}
    assert left.peak < 600 * 20_000
    spool_room = 1 << 20
    assert left.size < 10 * 20_000 + 100_000 + spool_room
