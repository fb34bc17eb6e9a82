"""Which broker queue the reports about a run come by, and which scheduler gets them."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from services.scheduler.deciding.report_queues import ReportQueues, priority, shard_of
from shared.ids import new_run_id
from shared.transport.base import COMMANDS, EVENT_SHARDS, EVENTS, event_queue


def row(name: str, version: str = "2") -> dict[str, str]:
    return {"instance_id": name, "version": version}


def test_a_run_has_one_shard_for_ever() -> None:
    assert [shard_of(f"run-{number}") for number in range(6)] == [5, 3, 1, 7, 4, 2]
    spread = Counter(shard_of(new_run_id()) for _ in range(8000))
    assert set(spread) == set(range(8))
    assert max(spread.values()) < 2 * min(spread.values())


@given(st.sets(st.text(min_size=1), min_size=1, max_size=5), st.text(min_size=1))
def test_when_a_scheduler_leaves_only_its_shards_move(names: set[str], leaver: str) -> None:
    def winner(among: set[str], queue: str) -> str:
        return max(sorted(among), key=lambda name: priority(name, queue))

    for shard in EVENT_SHARDS:
        before, after = winner(names | {leaver}, shard.name), winner(names, shard.name)
        assert before in (after, leaver)


@given(st.sets(st.text(min_size=1), min_size=1, max_size=5))
def test_the_reports_about_a_new_run_come_to_its_creator(names: set[str]) -> None:
    for creator in names:
        queues = ReportQueues(creator, "2", shards=True)
        queues.note([row(name) for name in sorted(names)])
        won = [
            shard.name
            for shard in EVENT_SHARDS
            if all(priority(creator, shard.name) > priority(other, shard.name) for other in names - {creator})
        ]
        named = Counter(queues.reports_to(queues.new_run_key()) for _ in range(200))
        best, times = named.most_common(1)[0]
        if won:  # a few runs in a thousand get no key that fits
            assert best in won
            assert times > 180, "the reports of all new runs come by the same queue"


@given(st.sets(st.text(min_size=1), min_size=1, max_size=5))
def test_who_comes_first_for_commands_also_comes_first_in_a_shard(names: set[str]) -> None:
    queues = {name: ReportQueues(name, "2", shards=True).priorities for name in names}
    first = max(sorted(names), key=lambda name: queues[name][COMMANDS.name])
    assert any(all(queues[first][shard.name] >= of[shard.name] for of in queues.values()) for shard in EVENT_SHARDS)


def test_without_shards_of_its_own_a_scheduler_creates_runs_all_the_same() -> None:
    queues = ReportQueues("a", "2", shards=True)
    queues.note([row("a"), *(row(f"other-{number}") for number in range(30))])
    assert len({queues.new_run_key() for _ in range(20)}) == 20


def test_tasks_name_a_shard_once_all_schedulers_know_shards() -> None:
    queues = ReportQueues("a", "2", shards=True)
    assert queues.reports_to("run-1") == "", "nobody knows yet who else there is"
    queues.note([row("a"), row("b", version="1")])
    assert queues.reports_to("run-1") == ""
    queues.note([row("a"), row("b")])
    assert event_queue(queues.reports_to("run-1")) in EVENT_SHARDS
    assert set(queues.priorities) == {COMMANDS.name, *(shard.name for shard in EVENT_SHARDS)}
    assert min(queues.priorities.values()) >= 1


def test_without_shards_reports_come_by_the_common_queue() -> None:
    queues = ReportQueues("a", "2", shards=False)
    queues.note([row("a")])
    assert queues.reports_to("run-1") == ""
    assert queues.queues == (EVENTS,)
    assert set(queues.priorities) == {COMMANDS.name}


def test_a_worker_sends_nothing_to_a_queue_that_is_no_shard() -> None:
    assert event_queue("") == event_queue("dagway.commands") == event_queue("dagway.events.99") == EVENTS
