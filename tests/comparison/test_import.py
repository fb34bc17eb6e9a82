"""A home that a real Dagu has written is imported: its runs have the same statuses, and their logs are readable.

``COMPARE_DAGU`` names the program of Dagu; without it the test is skipped, and says so.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from services.importing.dagu import import_dagu
from services.importing.dagu_home import DaguHome, open_home
from services.verify import check_database
from shared.clock import utc_now
from shared.errors import ConfigInvalid
from shared.settings.config import load_config
from shared.store.engine import open_engine
from shared.store.reads.reader import Reads
from tests.comparison.sides import dagu
from tests.comparison.workflows import FAMILIES, workflows
from tests.harness.eventually import eventually

COUNT = int(os.environ.get("COMPARE_COUNT", "36"))
SEED = int(os.environ.get("COMPARE_SEED", "20261127"))


@pytest.mark.timeout(120 + 30 * COUNT)
def test_a_home_of_a_real_dagu(tmp_path: Path) -> None:
    program = os.environ.get("COMPARE_DAGU", "")
    if not program:
        pytest.skip("NOT IMPORTED FROM DAGU: set COMPARE_DAGU to the path of a Dagu 1.30.2")
    assert len(FAMILIES) <= COUNT, "every family must be there"
    with dagu(Path(program), tmp_path) as theirs, ThreadPoolExecutor(4) as pool:
        specs = {f"w{number}": each.spec for number, each in enumerate(workflows(SEED, COUNT))}
        found = dict(zip(specs, pool.map(lambda name: theirs.result(name, specs[name]), specs), strict=True))
    ran = {name: result for name, result in found.items() if "status" in result}
    config = load_config({"data_dir": str(tmp_path / "data")}, {}, terminal=False)

    def idle() -> DaguHome:
        try:
            return open_home(tmp_path / "dagu")
        except ConfigInvalid as error:
            raise AssertionError(str(error)) from error

    # A run of Dagu is a process of its own, and may end after the server, or leave its heartbeat for a minute.
    eventually(idle)
    report = import_dagu(config, tmp_path / "dagu", "test")

    assert {each.check.name: each.shown for each in check_database(config, utc_now()) if each.count} == {}
    results = {entry.name.partition("/")[0]: entry for entry in report.entries if entry.kind == "run"}
    assert results.keys() >= ran.keys()
    assert [entry for entry in results.values() if entry.result not in ("loaded", "differs")] == []
    reads = Reads(open_engine(f"sqlite:///{config.data_dir}/dagway.db", read_only=True))
    for name, real in ran.items():
        run = reads.run(name, "run")
        assert run is not None
        # Where a file has an error here, it cannot be read which of its steps are handlers that did not run.
        nodes = {node.name: node.status.value for node in run.nodes or () if node.kind in ("step", "handler")}
        assert (run.status.value, nodes) == (real["status"], real["nodes"]), (name, specs[name])
        for node in run.nodes or ():
            stdout, stderr = real["logs"].get(node.name, ("", ""))
            # A merged log is that of stdout.
            for stream, text in (("stdout", stdout), ("stderr", "" if stderr == stdout else stderr)):
                if text:
                    assert reads.log_lines(run.run_key, node.idx, stream, limit=1).lines, (name, node.name, stream)
