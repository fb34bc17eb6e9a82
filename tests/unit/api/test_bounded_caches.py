"""What a gateway's caches hold at most, and that they hold that much."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

from services.api.caches.run_summaries import Summaries
from services.api.caches.specs import SpecCache
from shared.status import RunStatus
from shared.store.reads.reader import ListedRunRow, RunRow

T0 = datetime(2026, 1, 2, tzinfo=UTC)


def test_a_changed_run_takes_the_place_of_its_earlier_version() -> None:
    summaries = Summaries(room_bytes=100)
    made: list[str] = []

    def show(**versions: int) -> None:
        def make(keys: Sequence[str]) -> Iterable[tuple[RunRow, bytes]]:
            made.extend(keys)
            for key in keys:
                run: Any = SimpleNamespace(run_key=key, version=versions[key], status=RunStatus.SUCCEEDED)
                yield cast("RunRow", run), b"x" * 40

        listed = [ListedRunRow(key, version, T0, key) for key, version in versions.items()]
        assert summaries.json(listed, make) == b",".join([b"x" * 40] * len(versions))

    show(still=1)
    for version in range(5):
        show(patched=version)
    show(still=1)

    assert made == ["still"] + ["patched"] * 5


def test_parsed_specs_are_kept_by_the_length_of_their_texts() -> None:
    specs = SpecCache(room_chars=1000)
    text = "steps: [echo hi]\n"

    def parse(name: str, chars: int) -> None:
        specs.parse(name, text + "#" * (chars - len(text)), file_name=name)

    for number in range(20):
        parse(f"short-{number}", 50)
    parse("short-0", 50)
    assert len(specs) == 20
    parse("long", 500)
    assert (specs.get("short-0", file_name="short-0") is not None, len(specs)) == (True, 11)
    parse("longer", 5000)
    assert (specs.get("longer", file_name="longer") is not None, len(specs)) == (True, 1)
    parse("short-0", 50)
    assert len(specs) == 1
