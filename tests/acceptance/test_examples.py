"""Every example loads without a warning, runs without a network, and ends as its header says."""

import re
from pathlib import Path

import pytest

from shared.contracts import commands as c
from shared.language.load import load
from shared.store import tables as t
from tests.acceptance.world import World
from tests.harness.eventually import eventually

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))
_EXPECT = re.compile(r"^# expect: (\w+)$", re.MULTILINE)
_ORDERS = "order,region,amount\n1,eu,3\n2,us,4\n3,eu,5\n"


def _params(name: str, folder: Path) -> str:
    """Return the parameters of an example. The example that downloads something gets a local URL."""
    if name != "fetch-and-check":
        return ""
    orders = folder / "orders.csv"
    orders.write_text(_ORDERS)
    return f"URL={orders.as_uri()}"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_says_what_it_shows_and_is_valid(path: Path) -> None:
    text = path.read_text()
    assert re.match(r"# \S", text)
    assert "\ndescription: " in text
    assert len(text.splitlines()) <= 80
    assert _EXPECT.search(text)
    assert load(text, file_name=path.name).issues == ()


def test_there_are_enough_examples() -> None:
    assert len(EXAMPLES) >= 40


def test_examples_end_as_they_say(world: World, subtests: pytest.Subtests, tmp_path: Path) -> None:
    expected = {}
    for path in EXAMPLES:
        text = path.read_text()
        dag = load(text, file_name=path.name).documents[0]
        if dag.worker_selector and dag.worker_selector.items() - {"gpu": "true"}.items():
            continue
        match = _EXPECT.search(text)
        assert match
        expected[path.stem] = match[1]
        world.must(c.CreateDag(file_name=path.stem, spec=text))
        world.must(c.StartRun(file_name=path.stem, dag_run_id="shown", params=_params(path.stem, tmp_path)))
    for name, status in expected.items():
        with subtests.test(example=name):
            eventually(lambda name=name: _over(world, name), every_s=0.05)  # type: ignore[misc]
            (run,) = world.rows(t.dag_runs, file_name=name, dag_run_id="shown")
            nodes = world.rows(t.nodes, run_key=run["run_key"])
            assert run["status"] == status, [(node["name"], node["status"], node["error"]) for node in nodes]


def _over(world: World, name: str) -> bool:
    (run,) = world.rows(t.dag_runs, file_name=name, dag_run_id="shown")
    return run["status"] not in {"running", "queued", "not_started"}
