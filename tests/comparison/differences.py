"""The differences from Dagu that Dagway has on purpose: one table for the comparison and for the page.

A workflow of the comparison names the differences that it may show. If the two sides differ in anything else, the
comparison fails. ``python -m tests.comparison.differences`` writes docs/differences-from-dagu.md.
"""

from collections.abc import Sequence
from pathlib import Path

from tests.comparison.difference import Difference
from tests.comparison.server_differences import SERVER_DIFFERENCES
from tests.comparison.value_differences import VALUE_DIFFERENCES

__all__ = ["DIFFERENCES", "document"]

TARGET = Path(__file__).parents[2] / "docs" / "differences-from-dagu.md"

_LOGS = frozenset({"logs"})
DIFFERENCES: Sequence[Difference] = (
    *VALUE_DIFFERENCES,
    Difference(
        "running",
        "An `http` step with `json` and `silent` prints the status code 0 and no headers.",
        "It prints those of the answer.",
        "The next step may ask for them.",
    ),
    Difference(
        "running",
        "An `http` step whose `timeout` is over is `aborted`: neither `retryPolicy` nor `continueOn` counts.",
        "It has failed, as after any other error of the connection. Both count.",
        "A slow server is what they are there for.",
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
        "A stop lets a step with a `repeatPolicy` finish its execution. If it never does, the run cannot be stopped.",
        "A second stop ends such a step like any other.",
        "A run ends, even if a step of it hangs.",
    ),
    Difference(
        "running",
        "A step lasts until all processes that it leaves in the background have closed its output.",
        "It waits for their output for at most 5 s. They go on after it, but what they print later is not in the log.",
        "A server that a step starts would never let the step end.",
    ),
    Difference(
        "running",
        "Steps see all variables of the server that begin with `DAGU_`, so also its passwords and tokens.",
        "They see `DAGU_HOME`, `DAGU_DAGS_DIR`, `DAGU_HOST`, `DAGU_PORT`, `DAGU_BASE_PATH` and `DAGU_TZ`.",
        "A step must not be able to log in as the server's administrator.",
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
        "A `call` whose sub-run is aborted, for instance because its preconditions are not met, fails with exit code "
        "0: an `exitCode` of `continueOn` does not name it.",
        "The exit code is 1, as after every failed `call`.",
        "0 is the exit code of a success.",
    ),
    Difference(
        "running",
        "A failed `call` of a workflow that does not exist prints nothing, and one that takes too long prints `null`.",
        "It prints a JSON summary, as every failed `call` does.",
        "Who reads the log sees which workflow it was.",
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
        "The `env` of a handler has no effect.",
        "The handler gets it, as a step does.",
        "Who writes it wants it to count.",
    ),
    Difference(
        "running",
        "A `mail` step without `from`, or with a file in `attachments` that does not exist, sends the mail without it "
        "and succeeds. Files in `attachments` are not looked for in the step's folder.",
        "It fails. They are.",
        "A mail without what belongs to it must not count as sent.",
    ),
    Difference(
        "running",
        "`mailOnError` sends two mails for one failure, both with the status `running`.",
        "It sends one with the status `failed`.",
        "A failure has one mail that says what happened.",
    ),
    Difference(
        "running",
        "The password of `smtp` is sent to a mail server without TLS.",
        "The mail is not sent, and the log of the run says why. Without `username` no TLS is needed.",
        "Everybody on the way could read it.",
    ),
    Difference(
        "running",
        "An address with a name (`Ops <ops@example.org>`), or several in one text, go to the mail server as one "
        "address. The `prefix` of `errorMail` has variables as they are written.",
        "Each address is used, and variables are replaced.",
        "The mail must arrive.",
    ),
    Difference(
        "running",
        "A `mail` step prints the whole mail, and a `hitl` step asks in Dagu's words.",
        "A `mail` step prints addresses and subject only, and the words of `hitl` are others.",
        "The texts are for people, and the body of a mail may be long.",
    ),
    Difference(
        "running",
        "With a relative `logDir`, logs of steps are empty in the API.",
        "They are there.",
        "Logs are read in the API wherever the files are.",
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
        "If one sub-run of a `parallel` step fails while another waits for approval, the step fails, and the other one "
        "waits on.",
        "The step fails, and the other one is aborted. A retry of the run runs both again.",
        "Nothing would use what it does after the approval.",
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
        "On a host without a locale, steps have none: `wc -m` counts bytes.",
        "They have `LC_CTYPE=C.UTF-8`: it counts characters.",
        "Python sets it where it finds none, and texts are UTF-8.",
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
        "A schedule whose date never occurs, such as `0 0 31 2 *`, is accepted and never due.",
        "It is an error of the file. Leave the schedule out instead.",
        "It is a mistake, and nobody would notice that no run starts.",
    ),
    Difference(
        "loading",
        "`7` as day of the week, `@daily` and the like, and a blank schedule in a list or map are refused.",
        "They are accepted. A blank schedule counts as absent.",
        "Other programs with cron expressions know them.",
    ),
    Difference(
        "loading",
        "A step of an unknown `type` without a command fails when it runs.",
        "It is an error of the file.",
        "The mistake is found when it is made.",
    ),
    Difference(
        "loading",
        "`POST /dags` stores a workflow with a faulty later document, and no run of it starts.",
        "It is refused with the errors of all documents.",
        "The mistake is found when it is made.",
    ),
    Difference(
        "loading",
        "A handler and the one of the same name in `base.yaml` become one with the fields of both: a `script` is an "
        "argument of the other's `command`.",
        "The handler of the file replaces the one in `base.yaml`, unless it is empty.",
        "Nobody wrote the mixture.",
    ),
    Difference(
        "loading",
        "`type`, `shell`, `workingDir` and `maxActiveRuns` in `base.yaml` have no effect.",
        "They are defaults of every workflow, like the other fields there.",
        "Who writes a default wants it to count.",
    ),
    Difference(
        "loading",
        "A schema file of `params` that does not exist, or that `values` contradict, is an error wherever the file is "
        "loaded.",
        "`dagway validate` and `dagway dry` say so. A server says it when a run starts, and shows only `values` as the "
        "DAG's `params`, without the schema's defaults. The run has both.",
        "A gateway need not have the files that the workers have.",
    ),
    Difference(
        "loading",
        "A map among the `tags`, such as `[env: prod]`, is the tag `map[env:prod]`.",
        "It is the tag `env=prod`.",
        "It can be read, and a list can be filtered by it.",
    ),
    Difference(
        "loading",
        "A wrong value in `container`, or a `limit` or `intervalSec` of `retryPolicy` that is no number, fails each "
        "run.",
        "They are errors of the file.",
        "The mistake is found when it is made.",
    ),
    Difference(
        "loading",
        "In `retryPolicy`, one `exitCode` without a list and a fraction of a second are refused. So are a whole number "
        "as `backoff`, numbers in `params`, `true` in `parallel`, and a text in a map of steps.",
        "They are accepted.",
        "It is clear what they mean.",
    ),
    Difference(
        "running",
        "Where two conversations of `chat` steps with a common beginning meet, that beginning is sent twice. A repeated"
        " `chat` step goes on with its own conversation.",
        "It is sent once. Each repetition sends the same request.",
        "A model should read a conversation as it was. A repetition does the same again.",
    ),
    Difference(
        "running",
        "An `http` step asks for a body in gzip, and sends `Referer` after a redirect.",
        "It asks for the plain body, and sends no `Referer`.",
        "An address may contain a secret, and the next server need not know it.",
    ),
    *SERVER_DIFFERENCES,
)

_HEAD = """# Differences from Dagu

<!-- Written by tests/comparison/differences.py. -->

What differs from Dagu 1.30.2 on purpose. Everything else that differs is a mistake: please report it. The comparison
(`tests/comparison`) runs random workflows on both, and sends both some 350 right and wrong requests. It fails for any
difference that is not in this table. It needs a Dagu of your own, for instance from the npm package
`@dagu-org/dagu-linux-x64`:

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
