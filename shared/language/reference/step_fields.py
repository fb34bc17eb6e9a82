"""The fields of a step, for docs/workflow-reference.md and for the descriptions in the JSON Schema."""

from shared.language.reference.field_entry import FieldEntry

__all__ = ["STEP_ENTRIES"]

_F = FieldEntry
_CHAT = "type: chat\nllm: {provider: local, model: m}\nmessages: [{role: user, content: Hi}]"

STEP_ENTRIES: dict[str, dict[str, FieldEntry]] = {
    "About the step": {
        "name": _F("Name of the step.", "name: load", default="its type and number, such as `cmd_1`"),
        "id": _F("Short name for references such as `${load.exit_code}`.", "id: load"),
        "description": _F("What the step is for.", "description: Loads the orders"),
    },
    "What it does": {
        "command": _F("The command, a list of commands, or a script of several lines.", "command: ./load.sh --all"),
        "script": _F("A script; `command` may name its interpreter.", "command: python3\nscript: print(6 * 7)"),
        "shell": _F(
            "Shell for the commands, with its options. `direct`: none.",
            "shell: bash -e",
            default="that of the workflow",
        ),
        "shellPackages": _F("Packages that `nix-shell` makes available.", "shell: nix-shell\nshellPackages: [jq]"),
        "type": _F(
            "The executor that runs the step, [one of these](executors.md).",
            "type: http\ncommand: GET https://example.org",
            default="command",
        ),
        "config": _F(
            "Settings of the executor, [see below](#config-by-type).",
            "type: http\ncommand: GET https://example.org\nconfig: {timeout: 10}",
        ),
        "executor": _F("Older form of `type` and `config`.", "executor: {type: jq, config: {raw: true}}\ncommand: .a"),
        "executor.type": _F("The same as `type`.", "type: jq"),
        "executor.config": _F("The same as `config`.", "type: jq\nconfig: {raw: true}"),
        "container": _F(
            "The container in which the step runs: the name of a running one, or a map.", "container: {image: alpine:3}"
        ),
        "container.image": _F("The image of a new container.", "image: alpine:3", kind="text"),
        "container.exec": _F("A running container, instead of `image`.", "exec: db", kind="text"),
        "container.name": _F("Name of the new container.", "image: alpine:3\nname: loader", kind="text"),
        "container.pullPolicy": _F(
            "When to pull the image: `always`, `missing` or `never`.",
            "image: alpine:3\npullPolicy: always",
            "missing",
            "text or boolean",
        ),
        "container.env": _F("Variables in the container.", "image: alpine:3\nenv: [REGION=eu]", kind="map or list"),
        "container.volumes": _F(
            "Folders and volumes: `source:target`, and `:ro` to only read.",
            "image: alpine:3\nvolumes: [/srv:/srv:ro]",
            kind="text or list",
        ),
        "container.ports": _F("Ports to open on the host.", 'image: nginx\nports: ["8000:80"]', kind="text or list"),
        "container.network": _F("Network of the container.", "image: alpine:3\nnetwork: none", kind="text"),
        "container.user": _F("User that runs the command.", "image: alpine:3\nuser: 1000", kind="text"),
        "container.workingDir": _F("Folder in the container.", "image: alpine:3\nworkingDir: /srv", kind="text"),
        "container.workDir": _F("Another name of `workingDir`.", "image: alpine:3\nworkDir: /srv", kind="text"),
        "container.platform": _F("Platform of the image.", "image: alpine:3\nplatform: linux/arm64", kind="text"),
        "container.keepContainer": _F(
            "Keeps the container afterwards.", "image: nginx\nkeepContainer: true", "false", "boolean"
        ),
        "container.startup": _F(
            "What the container of a workflow runs: `keepalive`, `entrypoint` or `command`.",
            "image: nginx\nstartup: entrypoint",
            "keepalive",
            "text",
        ),
        "container.command": _F(
            "The command of `startup: command`.",
            "image: nginx\nstartup: command\ncommand: [nginx, -g, daemon off;]",
            kind="text or list",
        ),
        "container.waitFor": _F(
            "Steps begin when the container is `running` or `healthy`.",
            "image: nginx\nwaitFor: healthy",
            "running",
            "text",
        ),
        "container.logPattern": _F(
            "Steps begin when a line of the container's log matches.", "image: nginx\nlogPattern: ready", kind="text"
        ),
        "container.restartPolicy": _F(
            "`no`, `always` or `unless-stopped`.", 'image: nginx\nrestartPolicy: "always"', "no", "text"
        ),
        "llm": _F("The language model, instead of that of the workflow.", _CHAT, kind="map"),
        "messages": _F(
            "What a `chat` step says: maps of `role` and `content`.",
            _CHAT,
        ),
    },
    "Order and conditions": {
        "depends": _F("Steps that must end before this one begins. `[]`: none, also in a chain.", "depends: [first]"),
        "preconditions": _F(
            "Conditions for the step; if one is not met, the step is skipped.", "preconditions: [test -f orders.csv]"
        ),
        "preconditions.condition": _F("The command; with `expected`, the value.", "condition: test -f ready"),
        "preconditions.command": _F("Another name of `condition`.", "command: test -f ready"),
        "preconditions.expected": _F(
            "The value that `condition` must have; after `re:` a regular expression.",
            'condition: "${DAY}"\nexpected: "re:^mon"',
        ),
        "preconditions.negate": _F("Inverts the result.", "condition: test -f stop\nnegate: true", default="false"),
        "precondition": _F("Another name of `preconditions`.", "precondition: test -f ready", alias="preconditions"),
        "continueOn": _F("Outcomes after which the run goes on: `failed`, `skipped`, or a map.", "continueOn: failed"),
        "continueOn.failure": _F("Goes on if the step failed.", "failure: true"),
        "continueOn.failed": _F("Another name of `failure`.", "failed: true", default="false"),
        "continueOn.skipped": _F("Goes on if the step was skipped.", "skipped: true"),
        "continueOn.exitCode": _F("Goes on after these exit codes.", "exitCode: [1, 3]"),
        "continueOn.output": _F(
            "Goes on if the output has one of these texts.", 'output: ["nothing to do", "re:^skip"]'
        ),
        "continueOn.markSuccess": _F("Counts the step as succeeded then.", "failure: true\nmarkSuccess: true"),
    },
    "Retries and repetitions": {
        "retryPolicy": _F("Tries a failed step again.", "retryPolicy: {limit: 3, intervalSec: 10}"),
        "retryPolicy.limit": _F(
            "Maximum number of retries, without the first attempt. Required.", "limit: 3\nintervalSec: 10"
        ),
        "retryPolicy.intervalSec": _F("Seconds before a retry. Required.", "limit: 3\nintervalSec: 0.5"),
        "retryPolicy.backoff": _F(
            "Factor by which the wait grows each time; `true` is 2.", "limit: 3\nintervalSec: 10\nbackoff: 1.5", "false"
        ),
        "retryPolicy.maxIntervalSec": _F(
            "Longest wait in seconds. 0: no limit.", "limit: 9\nintervalSec: 1\nbackoff: 2\nmaxIntervalSec: 60"
        ),
        "retryPolicy.exitCode": _F(
            "Retries only after these exit codes.", "limit: 3\nintervalSec: 10\nexitCode: [75]", "any"
        ),
        "repeatPolicy": _F(
            "Runs the step again after it ended.",
            "repeatPolicy: {repeat: until, condition: test -f ready, intervalSec: 5}",
        ),
        "repeatPolicy.repeat": _F(
            "`while` or `until` the condition is met; `true` means `while`.", "repeat: until\ncondition: test -f ready"
        ),
        "repeatPolicy.condition": _F("A command; with `expected`, a value.", "repeat: while\ncondition: test -f more"),
        "repeatPolicy.expected": _F("The value to compare with.", 'condition: "${STATE}"\nexpected: ready'),
        "repeatPolicy.exitCode": _F("Exit codes that meet the condition.", "repeat: while\nexitCode: [75]"),
        "repeatPolicy.intervalSec": _F("Seconds between two attempts.", "repeat: true\nintervalSec: 60"),
        "repeatPolicy.limit": _F("Maximum number of attempts, with the first. 0: no limit.", "repeat: true\nlimit: 10"),
        "repeatPolicy.backoff": _F(
            "Factor by which the wait grows each time; `true` is 2.",
            "repeat: true\nintervalSec: 1\nbackoff: 2",
            "false",
        ),
        "repeatPolicy.maxIntervalSec": _F(
            "Longest wait in seconds. 0: no limit.", "repeat: true\nintervalSec: 1\nbackoff: 2\nmaxIntervalSec: 60"
        ),
    },
    "Values and output": {
        "env": _F("Variables of the step, as those of a workflow.", "env: {REGION: eu}"),
        "secrets": _F(
            "Names of the workflow's secrets that the step gets, `[]` for none. Its logs show stars for these only.",
            "secrets: []",
            default="all",
            own=True,
        ),
        "output": _F("Keeps what the step prints to stdout in a variable for later steps.", "output: TOTAL"),
        "output.name": _F("The variable.", "name: TOTAL"),
        "output.key": _F(
            "Its name among the outputs of the run.", "name: TOTAL\nkey: sum", default="`name` in camel case"
        ),
        "output.omit": _F("Leaves it out of the outputs of the run.", "name: TOTAL\nomit: true", default="false"),
        "stdout": _F("File to which stdout is written as well.", "stdout: out.txt"),
        "stderr": _F("File to which stderr is written as well.", "stderr: err.txt"),
        "logOutput": _F(
            "Whether stdout and stderr have a log each, or one together.", "logOutput: merged", "that of the workflow"
        ),
    },
    "Place and time": {
        "workingDir": _F("Folder in which the step runs.", "workingDir: build", default="that of the workflow"),
        "dir": _F("Another name of `workingDir`.", "dir: build", kind="text"),
        "timeoutSec": _F("Seconds after which an attempt is ended and fails. 0: never.", "timeoutSec: 60"),
        "signalOnStop": _F(
            "Signal that asks the step to end when the run is stopped.", "signalOnStop: SIGINT", "SIGTERM"
        ),
        "mailOnError": _F("Sends `errorMail` of the workflow when the step has failed.", "mailOnError: true"),
        "workerSelector": _F(
            "Labels that a worker must have to run the called workflow.", 'call: child\nworkerSelector: {gpu: "true"}'
        ),
        "pool": _F("Pools in which the step takes a place while it runs.", "pool: gpu", own=True),
        "lock": _F("Locks that the step holds while it runs.", "lock: warehouse", own=True),
        "rateLimit": _F(
            "How often steps with this rate limit start.",
            "rateLimit: {name: api, limit: 10, intervalSec: 60}",
            own=True,
        ),
        "rateLimit.name": _F("Its name, shared by all DAGs.", "name: api\nlimit: 10\nintervalSec: 60", own=True),
        "rateLimit.limit": _F("Maximum starts in one period.", "name: api\nlimit: 10\nintervalSec: 60", own=True),
        "rateLimit.intervalSec": _F("Seconds of a period.", "name: api\nlimit: 10\nintervalSec: 60", own=True),
    },
    "Calls of other workflows": {
        "call": _F("Runs another workflow: a DAG, or a later document of the file.", "call: child"),
        "run": _F("Older name of `call`.", "run: child", kind="text"),
        "params": _F(
            "Parameters for the called workflow, or inputs of a `gha` step.", "call: child\nparams: {DAY: monday}"
        ),
        "parallel": _F(
            "Calls the workflow once for each item: a list, a variable, or a map.", "call: child\nparallel: [eu, us]"
        ),
        "parallel.items": _F("The items, or a variable that has them.", "items: [eu, us]", kind="list or text"),
        "parallel.maxConcurrent": _F("How many run at once.", "items: [eu, us]\nmaxConcurrent: 2", "10", "number"),
    },
}
"""The entries by section. A path leads to a field below another one: ``retryPolicy.limit``."""
