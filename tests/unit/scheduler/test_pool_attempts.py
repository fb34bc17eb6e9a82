"""Open attempts are counted for the pool whose workers run or could run them."""

from collections.abc import Iterable, Mapping

from services.scheduler.pool_attempts import NO_POOL, PoolAttempts
from shared.store.reads.backlog import Backlog, OpenAttempts

WORKERS = {
    "w1": {},
    "gpu-1": {"worker-pool": "gpu", "gpu": "true"},
    "gpu-2": {"worker-pool": "gpu", "gpu": "true"},
}


def text(**selector: str) -> str:
    labels = ", ".join(f"{key.replace('_', '-')}: '{value}'" for key, value in selector.items())
    return f"workerSelector: {{{labels}}}\nsteps: ['true']\n"


def counted(
    *attempts: OpenAttempts, texts: Mapping[str, str] | None = None, workers: Mapping[str, Mapping[str, str]] = WORKERS
) -> dict[tuple[str, str], int]:
    """Return the counts that are not 0."""
    found = PoolAttempts(lambda hashes: {each: (texts or {})[each] for each in hashes})
    backlog = Backlog(open_attempts=attempts, worker_labels={name: dict(each) for name, each in workers.items()})
    return {key: number for key, number in found.count(backlog).items() if number}


def test_what_a_worker_holds_counts_for_its_pool() -> None:
    of_gpu = OpenAttempts("running", 3, "gpu-1"), OpenAttempts("running", 1, "gpu-2")

    assert counted(*of_gpu, OpenAttempts("dispatched", 2, "w1")) == {
        ("gpu", "running"): 4,
        ("default", "dispatched"): 2,
    }


def test_what_waits_counts_for_the_pool_of_its_selector() -> None:
    texts = {"a": text(worker_pool="gpu"), "b": text(worker_pool="gpu", gpu="true"), "c": "steps: ['true']\n"}
    waiting = [OpenAttempts("dispatched", number, None, each) for number, each in enumerate(texts, start=1)]

    assert counted(*waiting, texts=texts) == {("gpu", "dispatched"): 3, ("default", "dispatched"): 3}


def test_what_no_worker_of_the_pool_can_run_counts_for_no_pool() -> None:
    texts = {"a": text(worker_pool="gpu", gpu="huge"), "b": text(zone="mars"), "c": text(worker_pool="Not A Pool")}
    waiting = [OpenAttempts("dispatched", 1, None, each) for each in texts]

    assert counted(*waiting, texts=texts) == {(NO_POOL, "dispatched"): 3}


def test_a_pool_without_workers_is_asked_whatever_the_selector() -> None:
    waiting = OpenAttempts("dispatched", 7, None, "a")

    assert counted(waiting, texts={"a": text(worker_pool="etl", disk="big")}) == {("etl", "dispatched"): 7}


def test_selectors_cannot_make_any_number_of_series() -> None:
    texts = {f"h{number:03}": text(worker_pool=f"p{number:03}") for number in range(200)}
    waiting = [OpenAttempts("dispatched", 1, None, each) for each in texts]

    found = counted(*waiting, OpenAttempts("dispatched", 1, "gpu-1"), texts=texts)

    assert len(found) == 52
    assert found[NO_POOL, "dispatched"] == 150
    assert found["gpu", "dispatched"] == 1


def test_a_pool_with_workers_has_its_series_also_when_idle() -> None:
    found = PoolAttempts(lambda _hashes: {}).count(Backlog(worker_labels={"gpu-1": WORKERS["gpu-1"]}))

    assert found == {(pool, state): 0 for pool in ("default", "gpu", NO_POOL) for state in ("dispatched", "running")}


def test_a_text_is_read_once() -> None:
    read: list[str] = []

    def texts(hashes: Iterable[str]) -> dict[str, str]:
        read.extend(hashes)
        return dict.fromkeys(hashes, text(worker_pool="gpu"))

    pools = PoolAttempts(texts)
    for _ in range(3):
        pools.count(Backlog(open_attempts=(OpenAttempts("dispatched", 1, None, "a"),)))

    assert read == ["a"]
