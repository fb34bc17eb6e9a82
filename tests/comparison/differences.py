"""The differences from Dagu that Dagway has on purpose: one table for the comparison and for the page.

A workflow of the comparison names the differences that it may show. If the two sides differ in anything else, the
comparison fails. ``python -m tests.comparison.differences`` writes docs/differences-from-dagu.md.
"""

from collections.abc import Sequence
from pathlib import Path

from tests.comparison.difference import Difference
from tests.comparison.server_differences import SERVER_DIFFERENCES

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
        "A plain `010` is 8, `null` is the text `<nil>`, and `$$` is empty.",
        "`010` and `$$` stay as written, and `null` is empty.",
        "Nobody means 8 or `<nil>`.",
        "plain-scalars",
        _LOGS,
    ),
    Difference(
        "values",
        "Large numbers in JSON become `1e+06`, objects Go's `map[k:v]`, and a missing value `<nil>`.",
        "Numbers keep their digits, objects are compact JSON, and a missing value is empty.",
        "The next step must be able to read the value.",
        "json-values",
        _LOGS,
    ),
    Difference(
        "values",
        "In the `params` of a `call`, line ends arrive as `\\n`, backslashes twice, and of `$A$B` sometimes nothing.",
        "All arrive as they are.",
        "The called workflow must get what the caller gave.",
    ),
    Difference(
        "values",
        "With `call: jobs/${F}`, a value of `F` with `..` leaves the folder `jobs`.",
        "The step fails.",
        "A worker evaluates the value, and must not be able to start any workflow.",
    ),
    Difference(
        "values",
        "Variables in a map of `env` are evaluated in a random order, so `${A}` may be empty in another value.",
        "They are evaluated in the order of the file.",
        "The same file must give the same values.",
    ),
    Difference(
        "values",
        '`$OUT.key` reads a path in JSON only at the end or before a space. Elsewhere, as in `"$OUT.key"`, it has the '
        "whole value, and then `.key`.",
        "It reads the path wherever it is. Write `${OUT}.key` for the value and a text.",
        "Nobody means a whole JSON text before `.key`.",
    ),
    Difference(
        "values",
        "With `shell: direct`, variables of `env` and of the process stay as they are written in a command.",
        "They have their values, as params and outputs do in both.",
        "There is no shell that could replace them.",
    ),
    Difference(
        "values",
        "In `stdout` and `stderr`, `$DAG_RUN_STEP_NAME` is empty, and a relative path is in the workflow's directory, "
        "even if the step has its own. The file's folder must exist.",
        "It is the name of the step. The path is in the step's directory, and missing folders are created.",
        "Each step can write a file of its own, where its command works.",
    ),
    Difference(
        "values",
        "A parameter of a request such as `PA=$HOME` is expanded with the server's environment.",
        "It stays text; it may refer to earlier parameters only.",
        "A request must not read the server's environment.",
    ),
    Difference(
        "values",
        "A default that refers to another parameter (`A=1 B=${A}`) has the default of that one, even if a request sets "
        "`A=2`: `B` is 1. A command in back quotes does not see `A`.",
        "It has the value that counts: `B` is 2. A default that is replaced is not evaluated, nor is its command run.",
        "A value is derived from what the run gets.",
    ),
    Difference(
        "values",
        "In a dotenv file, `$Word` and `$1` are replaced in part, `${A:-x}` is the value of `A` and then `:-x}`, and "
        "`A= # text` is a value. Variables of the process are not known, and a wrong line drops the whole file.",
        "`$Word` and `$1` stay as they are, `x` is the default of `A`, and `# text` is a comment. Variables of the "
        "process are known, and the other lines count.",
        "It is clear what they mean.",
    ),
    Difference(
        "values",
        "Two back-quoted values in one text (``A=`x` B=`y` ``) are one value, with all that is between them.",
        "They are two values.",
        "Nobody means one.",
    ),
    Difference(
        "values",
        "A command in back quotes runs in a path of `dotenv`, and in one of its values `\\t` in double quotes is `t`.",
        "It does not run: use a variable there. `\\t` is a tab.",
        "Every step looks for the files anew.",
    ),
    Difference(
        "values",
        "A captured output that contains a secret carries it to the next step.",
        "It carries stars; declare the secret in the next step too.",
        "Outputs are stored and shown, so a secret in one would be too.",
    ),
    Difference(
        "values",
        "A secret from a file has the line end with which the file ends.",
        "It has not.",
        "Editors end a file with one, and a password with it is wrong.",
    ),
    Difference(
        "values",
        "In a `parallel` variable with quoted words, letters such as `é` become others.",
        "They stay.",
        "An item is what the text says.",
    ),
    Difference(
        "values",
        'A quoted text with `=` in params, such as `"k=v w"`, becomes the parameter `"k` and the value `w`.',
        "It is one value, a positional parameter.",
        "That is what quotes are for.",
    ),
    Difference(
        "conditions",
        "The command of a precondition sees neither outputs of earlier steps nor the workflow's `env`.",
        "It sees both.",
        "A condition is written about them.",
    ),
    Difference(
        "conditions",
        "A step's conditions, and its commands in back quotes, run in the workflow's directory, even if the step has its "
        "own.",
        "They run in the step's directory, if that exists.",
        "They ask about the place where the step works.",
    ),
    Difference(
        "running",
        "An `http` step with `json` and `silent` prints the status code 0 and no headers.",
        "It prints those of the answer.",
        "The next step may ask for them.",
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
        "`dagway validate` and `dagway dry` say so. A server says it when a run starts.",
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
