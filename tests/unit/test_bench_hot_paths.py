"""The pictures and tables of docs/hot-paths.md come from samples of py-spy and from plans in Postgres' log."""

import json
from pathlib import Path

import pytest

from bench.measuring.flame import flame
from bench.measuring.statements import statements
from bench.report import replaced

PAGE = Path(__file__).parents[2] / "docs" / "hot-paths.md"


def test_a_box_is_as_wide_as_the_share_of_its_samples() -> None:
    drawn = flame(
        [(["main", "decide (shared/core.py)"], 3), (["main", "read <b> (pika/io.py)"], 1)], "scheduler & samples"
    )

    assert "<title>main: 100.0%</title>" in drawn
    assert '<title>decide (shared/core.py): 75.0%</title><rect x="0.0" y="34" width="900.0"' in drawn
    assert '<title>read &lt;b&gt; (pika/io.py): 25.0%</title><rect x="900.0" y="34" width="300.0"' in drawn
    assert "scheduler &amp; samples" in drawn


def test_statements_that_differ_in_values_alone_are_one(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    inserts = [
        (2.0, "INSERT INTO runs (id, at) VALUES ('a', 'it''s'::text)"),
        (4.0, "INSERT INTO runs\n\t  (id, at) VALUES ('b', 'c'::text), ('d', 'e'::text)"),
    ]
    read_and_update = "SELECT 1 FROM runs WHERE id IN ('a', 'b', 'c'); UPDATE runs SET n = 5"
    entries = [entry(ms, text, "ModifyTable", "runs", "Insert") for ms, text in inserts]
    log.write_text("LOG:  something else\n".join([*entries, entry(1.0, read_and_update, "Index Scan", "runs")]))

    inserted, read = statements(log)

    assert (inserted.calls, inserted.ms, inserted.steps) == (2, 6.0, ["Insert runs"])
    assert read.text == "SELECT ? FROM runs WHERE id IN (?); UPDATE runs SET n = ?"


def test_a_plan_belongs_to_its_statement_among_several(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    log.write_text(entry(1.0, "SELECT 1 FROM runs; UPDATE nodes SET n = 5", "ModifyTable", "nodes", "Update"))

    [updated] = statements(log)

    assert updated.own_text == "UPDATE nodes SET n = ?"


def test_only_what_stands_between_the_marks_is_replaced() -> None:
    page = PAGE.read_text()

    written = replaced(page, "bench.hot_paths", "new tables")

    assert "begin -->\nnew tables\n<!--" in written
    with pytest.raises(ValueError, match="no lines"):
        replaced("no marks", "bench.hot_paths", "new tables")


def entry(ms: float, text: str, node: str, table: str, operation: str | None = None) -> str:
    """Return what ``auto_explain`` logs: each further line begins with a tab."""
    plan = {"Node Type": node, "Relation Name": table} | ({"Operation": operation} if operation else {})
    explained = json.dumps({"Query Text": text, "Plan": plan}, indent=2).replace("\\n", "\n").replace("\\t", "\t")
    return f"LOG:  duration: {ms} ms  plan:\n\t" + explained.replace("\n", "\n\t") + "\n"
