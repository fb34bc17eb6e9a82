"""The fields of a workflow, for docs/workflow-reference.md and for the descriptions in the JSON Schema."""

from shared.language.reference.field_entry import FieldEntry

__all__ = ["DAG_ENTRIES"]

_F = FieldEntry

DAG_ENTRIES: dict[str, dict[str, FieldEntry]] = {
    "About the workflow": {
        "name": _F("Name of the DAG, instead of that of the file.", "name: nightly-report", default="name of the file"),
        "description": _F("What the workflow is for.", "description: Counts the orders"),
        "group": _F("Group under which lists show the DAG.", "group: sales"),
        "tags": _F(
            "Words by which lists can be filtered, as a list or with commas between them.", "tags: [nightly, eu]"
        ),
    },
    "Steps": {
        "steps": _F(
            "The steps: a list, whose nested lists are parallel groups, or a map from name to step.",
            "steps: [echo one, [echo two, echo three]]",
        ),
        "type": _F(
            "`chain`: each step waits for the one before it. `graph`: only `depends` counts.",
            "type: graph",
            default="chain",
            kind="`chain` or `graph`",
        ),
        "handlerOn": _F(
            "Steps that run when the run begins, waits or ends.", "handlerOn: {exit: {command: rm -f lock}}"
        ),
        "handlerOn.init": _F("Runs before the first step.", "init: {command: ./prepare.sh}"),
        "handlerOn.success": _F("Runs when the run succeeded.", "success: {command: ./tell.sh}"),
        "handlerOn.failure": _F("Runs when the run failed.", "failure: {command: ./alarm.sh}"),
        "handlerOn.abort": _F("Runs when the run was stopped.", "abort: {command: ./undo.sh}"),
        "handlerOn.cancel": _F("Older name of `abort`.", "cancel: {command: ./undo.sh}"),
        "handlerOn.exit": _F("Runs last, whatever the outcome.", "exit: {command: rm -f lock}"),
        "handlerOn.wait": _F("Runs when only steps that wait for approval are left.", "wait: {command: ./ask.sh}"),
        "preconditions": _F(
            "Conditions for the run: a command that must exit with 0, or a value and what it must be.",
            "preconditions: [test -f orders.csv]",
        ),
        "preconditions.condition": _F("The command; with `expected`, the value.", "condition: test -f ready"),
        "preconditions.command": _F("Another name of `condition`.", "command: test -f ready"),
        "preconditions.expected": _F(
            "The value that `condition` must have; after `re:` a regular expression.",
            'condition: "${HOME}"\nexpected: "re:^/home"',
        ),
        "preconditions.negate": _F("Inverts the result.", "condition: test -f stop\nnegate: true", default="false"),
        "precondition": _F("Another name of `preconditions`.", "precondition: test -f ready", alias="preconditions"),
    },
    "When it runs": {
        "schedule": _F("Cron expressions of the times at which runs start.", 'schedule: "0 6 * * MON-FRI"'),
        "schedule.start": _F("When to start a run.", 'start: ["0 6 * * *", "0 18 * * *"]'),
        "schedule.stop": _F("When to stop the running runs.", 'stop: "0 20 * * *"'),
        "schedule.restart": _F("When to stop the running runs and start again.", 'restart: "0 0 * * 0"'),
        "skipIfSuccessful": _F(
            "Skips a scheduled start if the newest run succeeded since the scheduled time before.",
            "skipIfSuccessful: true",
        ),
        "catchup": _F(
            "Which missed scheduled times start a run afterwards: `none`, `latest`, `all`, or a map.",
            "catchup: latest",
            default="none",
            kind="text or map",
            own=True,
        ),
        "catchup.policy": _F("`none`, `latest` or `all`.", "policy: all", default="none", kind="text", own=True),
        "catchup.limit": _F(
            "Maximum number of missed times that `all` catches up, up to 1000.",
            "policy: all\nlimit: 20",
            default="100",
            kind="number",
            own=True,
        ),
        "catchup.windowSec": _F(
            "Seconds after which a missed time stays missed, at least 60.",
            "policy: all\nwindowSec: 3600",
            default="604800",
            kind="number",
            own=True,
        ),
        "queue": _F(
            "The queue in which runs wait. A queue of its own lets `maxActiveRuns` runs be active.",
            "queue: heavy",
            default="name of the DAG",
        ),
        "maxActiveRuns": _F(
            "How many runs of the DAG the queue lets be active at once. Manual starts do not wait.", "maxActiveRuns: 3"
        ),
        "runConfig": _F("What a person may not change when starting a run.", "runConfig: {disableParamEdit: true}"),
        "runConfig.disableParamEdit": _F("Refuses a start with other parameters.", "disableParamEdit: true"),
        "runConfig.disableRunIdEdit": _F("Refuses a start with an id of the caller's.", "disableRunIdEdit: true"),
    },
    "Values": {
        "params": _F(
            "Parameters with their defaults: a list or map of names, a text of positional values, or "
            "`{schema: …, values: …}` to check them by a JSON Schema: its file, its URL, or the schema itself.",
            "params: [{DAY: monday}]",
        ),
        "env": _F(
            "Variables for all steps, as a map, a list of maps or a list of `NAME=value`.", "env: [{REGION: eu}]"
        ),
        "dotenv": _F(
            "Files of variables that the worker reads after `.env`, of at most 1 MiB each. The last one wins. "
            "`[]`: none.",
            "dotenv: [prod.env]",
            default=".env",
        ),
        "secrets": _F(
            "Secret values that the worker looks up and that logs show as stars.",
            "secrets: [{name: TOKEN, provider: file, key: token.txt}]",
        ),
        "secrets.name": _F("The variable that gets the value.", "{name: TOKEN, provider: env, key: CI_TOKEN}"),
        "secrets.provider": _F(
            "Where the value is: `env`, `file`, `mounted`, `vault`, `stored`, or that of an installed package.",
            "{name: TOKEN, provider: file, key: token.txt}",
        ),
        "secrets.key": _F(
            "What the provider finds it by: a variable, or a path.", "{name: TOKEN, provider: env, key: CI_TOKEN}"
        ),
        "secrets.options": _F(
            "Further settings of the provider.", "{name: TOKEN, provider: vault, key: ci, options: {field: token}}"
        ),
    },
    "Limits and times": {
        "maxActiveSteps": _F("How many steps of a run are active at once. 0: any number.", "maxActiveSteps: 2"),
        "timeoutSec": _F("Seconds after which a run is ended and fails. 0: never.", "timeoutSec: 3600"),
        "delaySec": _F("Seconds between the starts of two steps.", "delaySec: 5"),
        "restartWaitSec": _F("Seconds between the stop and the start of a restart.", "restartWaitSec: 10"),
        "maxCleanUpTimeSec": _F(
            "Seconds that steps have after a stop, before they are killed.", "maxCleanUpTimeSec: 30"
        ),
        "histRetentionDays": _F(
            "Days after which finished runs are deleted. Negative: never.", "histRetentionDays: 14"
        ),
        "maxOutputSize": _F("Largest `output` of a step in bytes; a longer one fails the step.", "maxOutputSize: 4096"),
    },
    "Where and how steps run": {
        "workingDir": _F("Folder in which steps run.", "workingDir: /srv/data", default="folder of the file"),
        "shell": _F(
            "Shell for the commands of steps, with its options.",
            "shell: bash -e",
            default="the worker's `SHELL`, or `sh`",
        ),
        "logDir": _F(
            "Folder for log files on the worker.", "logDir: /var/log/sales", default="the worker's data folder"
        ),
        "logOutput": _F("Whether stdout and stderr have a log each, or one together.", "logOutput: merged"),
        "workerSelector": _F("Labels that a worker must have to run the steps.", 'workerSelector: {gpu: "true"}'),
        "placement": _F(
            "`stick`: one worker runs all steps of a run. `spread`: any worker may run each.",
            "placement: spread",
            own=True,
        ),
        "onWorkerShutdown": _F(
            "Whether a step that a worker had to end, because it shut down, fails or runs again elsewhere.",
            "onWorkerShutdown: rerun",
            own=True,
        ),
        "container": _F(
            "A container in which all steps run, in the forms of a step's `container`.", "container: {image: alpine:3}"
        ),
        "registryAuths": _F(
            "Logins for image registries: by host `username` and `password`, or the text of Docker's config.",
            "registryAuths: {ghcr.io: {username: bot, password: $TOKEN}}",
        ),
        "ssh": _F(
            "The host on which steps run over SSH, unless their `type` says otherwise.",
            "ssh: {host: db1, user: ops, key: ~/.ssh/id_ed25519}",
            kind="map",
        ),
        "ssh.host": _F("Name or address of the host.", "host: db1", kind="text"),
        "ssh.port": _F("Port of its SSH server.", "port: 2222", default="22", kind="number or text"),
        "ssh.user": _F("User to log in as.", "user: ops", kind="text"),
        "ssh.key": _F("File of the private key.", "key: ~/.ssh/id_ed25519", kind="text"),
        "ssh.password": _F("Password, or passphrase of the key.", "password: $SSH_PASSWORD", kind="text"),
        "ssh.strictHostKey": _F("Whether the host's key must be known.", "strictHostKey: false", "true", "boolean"),
        "ssh.knownHostFile": _F("File of known hosts.", "knownHostFile: hosts.txt", "~/.ssh/known_hosts", "text"),
        "ssh.shell": _F("Shell on the host that reads the commands.", "shell: bash", kind="text or list"),
        "llm": _F("The language model of `chat` steps.", "llm: {provider: local, model: llama3}", kind="map"),
        "llm.provider": _F("`openai`, `anthropic`, `gemini`, `openrouter` or `local`.", "provider: local", kind="text"),
        "llm.model": _F("Name of the model.", "model: llama3", kind="text"),
        "llm.system": _F("Message that sets the model's task.", "system: Answer in one word.", kind="text"),
        "llm.temperature": _F("Randomness of the answer, 0 to 2.", "temperature: 0.2", kind="number"),
        "llm.topP": _F("Share of likely words that count, 0 to 1.", "topP: 0.9", kind="number"),
        "llm.maxTokens": _F("Longest answer, in tokens.", "maxTokens: 500", kind="number"),
        "llm.baseURL": _F("URL of the provider.", "baseURL: http://localhost:11434/v1", kind="text"),
        "llm.apiKeyName": _F("Variable that has the API key.", "apiKeyName: MY_KEY", kind="text"),
        "llm.stream": _F("Whether the answer is logged as it comes.", "stream: false", "true", "boolean"),
        "llm.thinking": _F(
            "Reasoning of the model: `enabled`, `effort`, `budgetTokens`, `includeInOutput`.",
            "thinking: {enabled: true, effort: low}",
            kind="map",
        ),
    },
    "Mails and traces": {
        "smtp": _F("The mail server.", "smtp: {host: mail.example.org, port: 587}", kind="map"),
        "smtp.host": _F("Name of the server.", "host: mail.example.org", kind="text"),
        "smtp.port": _F("Its port.", "port: 587", kind="number or text"),
        "smtp.username": _F("User name for the login.", "username: robot", kind="text"),
        "smtp.password": _F("Password; it is sent over TLS only.", "password: $MAIL_PASSWORD", kind="text"),
        "smtp.tls": _F("Begins with TLS.", "tls: true", "false", "boolean", own=True),
        "smtp.caFile": _F("File of the authority that signs the certificate.", "caFile: ca.pem", kind="text", own=True),
        "smtp.skipTLSVerify": _F("Accepts any certificate.", "skipTLSVerify: true", "false", "boolean", own=True),
        "mailOn": _F("The outcomes for which a mail is sent.", "mailOn: {failure: true}"),
        "mailOn.failure": _F("The run failed.", "failure: true"),
        "mailOn.success": _F("The run succeeded.", "success: true"),
        "mailOn.wait": _F("The run waits for approval.", "wait: true"),
        "errorMail": _F(
            "The mail about a failure.", "errorMail: {from: robot@example.org, to: ops@example.org, attachLogs: true}"
        ),
        "errorMail.from": _F("Sender.", "from: robot@example.org"),
        "errorMail.to": _F("Recipients.", "to: [a@example.org, b@example.org]"),
        "errorMail.prefix": _F("Beginning of the subject.", 'prefix: "[sales]"'),
        "errorMail.attachLogs": _F("Attaches the output of the steps.", "attachLogs: true"),
        "infoMail": _F(
            "The mail about a success; has the fields of `errorMail`.",
            "infoMail: {from: robot@example.org, to: ops@example.org}",
            alias="errorMail",
        ),
        "waitMail": _F(
            "The mail about a wait; has the fields of `errorMail`.",
            "waitMail: {from: robot@example.org, to: ops@example.org}",
            alias="errorMail",
        ),
        "otel": _F(
            "The OpenTelemetry collector that gets a trace of each run.",
            "otel: {enabled: true, endpoint: https://traces.example.org/v1/traces}",
            kind="map",
        ),
        "otel.enabled": _F("Sends traces.", "enabled: true", "false", "boolean"),
        "otel.endpoint": _F(
            "URL of the collector; ends in `/v1/traces`.", "endpoint: https://t.example.org/v1/traces", kind="text"
        ),
        "otel.headers": _F("Headers of the requests.", "headers: {X-Key: $KEY}", kind="map"),
        "otel.insecure": _F("Uses HTTP if the endpoint names no scheme.", "insecure: true", "false", "boolean"),
        "otel.timeout": _F("Longest time of a request.", "timeout: 30s", kind="text"),
        "otel.resource": _F("Further attributes of the traces.", "resource: {team: sales}", kind="map"),
    },
}
"""The entries by section. A path leads to a field below another one: ``schedule.start``."""
