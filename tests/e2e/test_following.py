"""One id, seen by every service of a real system: the request's and the run's."""

import json
from pathlib import Path

from tests.harness.cluster import Embedded
from tests.harness.eventually import eventually


def test_a_request_and_its_run_are_found_in_every_services_log(tmp_path: Path) -> None:
    with Embedded(tmp_path, env={"DAGWAY_LOG_FORMAT": "json"}) as system:
        client = system.client
        client.create("one", "steps:\n  - name: first\n    command: echo $TRACEPARENT\n    output: SEEN\n")
        client.start("one", "r-followed")
        client.until("succeeded", "one", "r-followed")
        trace = client.outputs("one", "r-followed")["seen"].split("-")[1]

        def lines() -> list[dict[str, str]]:
            text = system.process.output().splitlines()
            return [json.loads(line) for line in text if line.startswith("{")]

        def there() -> None:
            of_run = {line["event"]: line for line in lines() if line.get("run_id") == "r-followed"}
            assert {"command.recorded", "attempt.taken", "attempt.over"} <= set(of_run)
            request = of_run["command.recorded"]["request_id"]
            of_request = {line["event"] for line in lines() if line.get("request_id") == request}
            assert {"request.answered", "command.recorded"} <= of_request
            # The step was told the trace that the worker's log names.
            assert trace in {line.get("trace_id") for line in lines() if line["event"] == "attempt.taken"}

        eventually(there)
