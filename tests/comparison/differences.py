"""The differences from Dagu that Dagway has on purpose: one table for the comparison and for the page.

A workflow of the comparison names the differences that it may show. If the two sides differ in anything else, the
comparison fails. ``python -m tests.comparison.differences`` writes docs/differences-from-dagu.md.
"""

from collections.abc import Sequence
from pathlib import Path

from tests.comparison.difference import Difference

__all__ = ["DIFFERENCES", "document"]

TARGET = Path(__file__).parents[2] / "docs" / "differences-from-dagu.md"


_LOGS = frozenset({"logs"})
DIFFERENCES: Sequence[Difference] = (
    Difference(
        "values",
        "A value with quotes, `$(…)` or `;` becomes part of the command's text, and may break it or run.",
        "The value reaches the command as one value, whatever is in it.",
        "A parameter must not be able to run a command.",
        "value-in-shell",
    ),
    Difference(
        "values",
        "A plain `010` is 8, and `null` is the text `<nil>`.",
        "`010` stays as written, and `null` is empty.",
        "Nobody means 8 or `<nil>`.",
        "plain-scalars",
        _LOGS,
    ),
    Difference(
        "values",
        "Large numbers in JSON become `1e+06`, and objects Go's `map[k:v]`.",
        "Numbers keep their digits, objects are compact JSON.",
        "The next step must be able to read the value.",
        "json-values",
        _LOGS,
    ),
    Difference(
        "values",
        "A value of several lines in the `params` of a `call` arrives with `\\n` in place of its line ends.",
        "It arrives as it is.",
        "The called workflow must get what the caller gave.",
    ),
    Difference(
        "values",
        "A parameter of a request such as `PA=$HOME` is expanded with the server's environment.",
        "It stays text; it may refer to earlier parameters only.",
        "A request must not read the server's environment.",
    ),
    Difference(
        "values",
        "A default that refers to another parameter (`A=1 B=${A}`) has the default of that one, also if a request sets "
        "`A=2`: `B` is 1.",
        "It has the value that counts: `B` is 2. A default that is replaced is not evaluated, nor is its command run.",
        "A value is derived from what the run gets.",
    ),
    Difference(
        "values",
        "Two back-quoted values in one text (``A=`x` B=`y` ``) are one value, with all that is between them.",
        "They are two values.",
        "Nobody means one.",
    ),
    Difference(
        "values",
        "A captured output that contains a secret carries it to the next step.",
        "It carries stars; declare the secret in the next step too.",
        "Outputs are stored and shown, so a secret in one would be too.",
    ),
    Difference(
        "conditions",
        "The command of a precondition sees neither outputs of earlier steps nor the workflow's `env`.",
        "It sees both.",
        "A condition is written about them.",
    ),
    Difference(
        "running",
        "Handlers do not run after the workflow's own timeout.",
        "They run.",
        "A handler cleans up, and is needed most then.",
    ),
    Difference(
        "running",
        "A step that exceeds its `timeoutSec` is killed.",
        "It gets TERM first, and KILL after a grace.",
        "A program must be able to leave its files in order.",
    ),
    Difference(
        "running",
        "A step lasts until all processes that it leaves in the background have closed its output.",
        "It waits for their output for at most 5 s. They go on after it, but what they print later is not in the log.",
        "A server that a step starts would never let the step end.",
    ),
    Difference(
        "running",
        "Later steps see internal variables such as `DAGU_CONTINUE_ON…`.",
        "They do not.",
        "They are no part of the language.",
    ),
    Difference(
        "running",
        "The error text of a failed step is that of the Go library that failed.",
        "It says what failed and what to do.",
        "Statuses and exit codes are equal; texts are for people.",
    ),
    Difference(
        "running",
        "A failed `call` of a workflow that does not exist prints nothing.",
        "It prints a JSON summary, as every failed `call` does.",
        "Who reads the log sees which workflow is missing.",
    ),
    Difference(
        "running",
        "An error of a `jq` filter at run time is printed to stderr, and the step succeeds.",
        "The step fails.",
        "The next step must not work with half a result.",
        "jq-errors",
    ),
    Difference(
        "running",
        "`markSuccess` has no effect on a failure that `exitCode` of `retryPolicy` excludes from retries.",
        "It has.",
        "`continueOn` names the failure, whatever is retried.",
        "mark-success",
    ),
    Difference(
        "running",
        "A handler whose `call` succeeded partially has succeeded.",
        "It is `partially_succeeded`, as a step is.",
        "The status says what happened.",
    ),
    Difference(
        "running",
        "A failed `jq` step with `output` has no entry in the run's outputs.",
        "It has an empty one.",
        "Every step with `output` that ran is listed.",
    ),
    Difference(
        "running",
        "The summary of a `parallel` step lists its sub-runs in the order in which they ended.",
        "It lists them in the order of the items.",
        "The same workflow prints the same text.",
        "parallel-order",
        _LOGS,
    ),
    Difference(
        "running",
        "Params with a name twice, such as `X=a X=b`, keep both values in what is shown of a run.",
        "The last value is shown, which is the one that counts.",
        "What is shown is what the run gets.",
    ),
    Difference(
        "running",
        "With `logOutput: merged`, lines of stderr may come before earlier lines of stdout.",
        "All lines are in the order in which they were written. With `output`, `stdout` or `stderr`, those of each "
        "stream are.",
        "A merged log is read from top to bottom.",
        "merged-order",
        _LOGS,
    ),
    Difference(
        "running",
        "Without a coordinator, `workerSelector` has no effect.",
        "The steps wait for a worker with these labels. `dagway up --labels gpu=true` gives them to its own.",
        "A step must not run on a machine that its author excluded.",
    ),
    Difference(
        "loading",
        "A cycle of steps is found when a run starts, which answers 500.",
        "It is an error of the file.",
        "A workflow that can never run should say so at once.",
    ),
    Difference(
        "loading",
        "`POST /dags` stores a workflow with a faulty later document, and no run of it starts.",
        "It is refused with the errors of all documents.",
        "The mistake is found when it is made.",
    ),
    Difference(
        "loading",
        "`type`, `shell`, `workingDir` and `maxActiveRuns` in `base.yaml` have no effect.",
        "They are defaults of every workflow, like the other fields there.",
        "Who writes a default wants it to count.",
    ),
    Difference(
        "API",
        "Empty lists are `null` in some responses.",
        "They are `[]`.",
        "Clients need not check for both.",
    ),
    Difference(
        "API",
        "`fileName` in lists has no ending (`nightly`).",
        "It has one (`nightly.yaml`). Every path takes both forms.",
        "Dagu's description of its API shows it so.",
    ),
    Difference(
        "API",
        "An approval may give values for inputs that the step does not ask for.",
        "It is refused with 400.",
        "The values become variables of the steps that follow.",
    ),
    Difference(
        "API",
        "A start with `singleton` while a run is active is refused with the code `already_exists`.",
        "The code is `already_running`; the status is 409 in both.",
        "`already_exists` means that a name or an id is taken.",
    ),
    Difference(
        "API",
        "A retry of a running run answers 200 and does nothing; that of a queued run starts it at once.",
        "Both are refused with 400 and the code `already_running`.",
        "The caller learns that nothing was retried, and no run passes its queue.",
    ),
    Difference(
        "API",
        "A retry of one step sets the run to `succeeded` if that step succeeds, though another step has failed.",
        "The run stays `failed` until no step is.",
        "A failed step must not be overlooked.",
    ),
    Difference(
        "API",
        "A user is edited with PATCH only, so the front end's own PUT gets 405.",
        "PUT works too.",
        "The front end's dialog works.",
    ),
    Difference(
        "API",
        "`/api/v1` is an older API without authentication.",
        "`/api/v1` is the API of Dagu 2, with the same logins as `/api/v2`.",
        "The older API has no logins; `/api/v2` has all that it does.",
    ),
    Difference(
        "API",
        "A write is answered when it is done.",
        "If its outcome takes longer than `DAGWAY_COMMAND_WAIT_S`, the answer is 202 with a `Location` to ask for it.",
        "The request is stored durably, so the client need not repeat it.",
    ),
    Difference(
        "API",
        "Pages of other origins and unknown host names may use a server without a login.",
        "They are refused.",
        "A web page must not control the server of who visits it.",
    ),
    Difference(
        "API",
        "Lists of runs without dates have the runs of today (in UTC).",
        "They have all runs, the newest 1,000.",
        "A run of last night must not be missing.",
    ),
    Difference(
        "API",
        "Wrong requests get 500, an empty body or a plain text in several places.",
        "They get 400, 404 or 409 and always JSON with `code` and `message`.",
        "Clients can tell a mistake of theirs from one of the server.",
    ),
    Difference(
        "API",
        "A body may have any content type.",
        "Without a token or key it must be `application/json`, else the answer is 415.",
        "A page of another site can send other types without asking ([sign-in](operations/sign-in.md#browsers)).",
    ),
    Difference(
        "API",
        "`nextPage` of the last page is that page, `prevPage` of the first page is 1.",
        "They are `null`.",
        "There is no such page.",
    ),
    Difference(
        "API",
        "`runConfig` only disables fields of the front end's dialog.",
        "A start that sets what it forbids is refused with 400.",
        "A rule that only one client keeps is none.",
    ),
    Difference(
        "API",
        "A new run may have the id `latest`; an id with a dot gets 500.",
        "`latest` is refused with 400, and ids may have dots.",
        "`latest` names the newest run in every path.",
    ),
    Difference(
        "API",
        "`PUT` of a spec that was saved answers with an empty body.",
        'It answers `{"errors": []}`. Where a gateway serves the front end of Dagu, the page suppresses the empty '
        "alert that it shows for that.",
        "Dagu's description of its API shows it so.",
    ),
    Difference(
        "API",
        "In the answers about a spec, `name` is the name in the request.",
        "It is the name in the spec, if it has one.",
        "Runs of the spec have that name.",
    ),
    Difference(
        "API",
        "In the details of a run, commands and scripts of steps that ran have values in place of their variables.",
        "They are as in the file.",
        "Params and outputs are shown beside them, and a text with long values is hard to compare with the file.",
    ),
    Difference(
        "API",
        "A DAG in a sub-folder can be read and started as `sub%2Fname`.",
        "It can only be called by another DAG. A slash in a name is refused with 400.",
        "What is not listed and not scheduled is a part of other DAGs.",
    ),
    Difference(
        "API",
        "`log` of a run is the path of a file, which has the log lines of Dagu's program.",
        "It is a name. The text at `…/log` has one line for each change of the run and its steps.",
        "The run may have been on another machine.",
    ),
    Difference(
        "API",
        "A log above 10 KiB has an estimated `totalLines`, and a line above 64 KiB hides the whole log.",
        "The number is exact, and every line is shown.",
        "Who reads a log needs all of it.",
    ),
    Difference(
        "API",
        "`/services/coordinator` lists a coordinator.",
        "The list is empty.",
        "There is none: RabbitMQ, or `dagway up` itself, hands out the work.",
    ),
    Difference(
        "the folder",
        "A new file is seen at once.",
        "It is seen within about a second.",
        "Schedulers share a database; each looks once a second.",
    ),
    Difference(
        "the folder",
        "An edit in the page overwrites a file that was changed meanwhile.",
        "It is refused with 409, or 412 with `If-Match`.",
        "The newer text is never lost.",
    ),
    Difference(
        "metrics",
        "`dagu_dag_runs_total` counts the runs of today, and starts again at 0 each day.",
        "It counts all runs. The series `success` and `error` repeat `succeeded` and `failed`: a sum must omit them.",
        "A counter must not go down, and alerts were written for both names.",
    ),
    Difference(
        "metrics",
        "The metrics `go_*` describe the Go runtime.",
        "There are `python_*` and `process_*` instead.",
        "Dagway is written in Python.",
    ),
)

_HEAD = """# Differences from Dagu

<!-- Written by tests/comparison/differences.py. -->

What differs from Dagu 1.30.2 on purpose. Everything else that differs is a mistake: please report it. The comparison
(`tests/comparison`) runs random workflows on both and fails for any difference that is not in this table. It needs a
Dagu of your own, for instance from the npm package `@dagu-org/dagu-linux-x64`:

```sh
COMPARE_DAGU=/path/to/dagu COMPARE_COUNT=1000 make test ARGS="tests/comparison -n 0 -s"
```

| area | Dagu | Dagway | why | shown by the comparison |
| --- | --- | --- | --- | --- |
"""


def document() -> str:
    """Return the text of the page."""
    rows = (
        f"| {each.area} | {each.dagu} | {each.dagway} | {each.why} | {'yes' if each.name else ''} |\n"
        for each in DIFFERENCES
    )
    return _HEAD + "".join(rows)


if __name__ == "__main__":
    TARGET.write_text(document())
