"""Fields that only affect the outside world are read into the model as written."""

from typing import Any

import pytest

from shared.language.load import load

DAG_FIELDS: list[tuple[str, str, Any]] = [
    ("group: g", "group", "g"),
    ("logDir: /var/log", "log_dir", "/var/log"),
    ("skipIfSuccessful: true", "skip_if_successful", True),
    ("onWorkerShutdown: rerun", "on_worker_shutdown", "rerun"),
    ("restartWaitSec: 3", "restart_wait_sec", 3),
    ("maxActiveRuns: 4", "max_active_runs", 4),
    ("container: {image: alpine}", "container.image", "alpine"),
    ("registryAuths: {host: {username: u, password: p}}", "registry_auths.host.username", "u"),
    ("ssh: {user: u, host: h}", "ssh.host", "h"),
    ("llm: {provider: local, model: m}", "llm.model", "m"),
    ("smtp: {host: h, port: 25}", "smtp.host", "h"),
    ("mailOn: {failure: true}", "mail_on.failure", True),
    ("errorMail: {from: a, to: b}", "error_mail.to", ("b",)),
    ("infoMail: {from: a, to: [b, c]}", "info_mail.to", ("b", "c")),
    ("waitMail: {from: a, to: b, prefix: x, attachLogs: true}", "wait_mail.prefix", "x"),
    ("infoMail: {from: a, to: b, prefix: y, attachLogs: true}", "info_mail.attach_logs", True),
    ("mailOn: {wait: true}", "mail_on.wait", True),
    ("runConfig: {disableRunIdEdit: true}", "run_config.disable_run_id_edit", True),
    ("secrets: [{name: A, provider: env, key: X, options: {n: 1}}]", "secrets.0.options.n", "1"),
    ("preconditions: [{condition: a, expected: b, negate: true}]", "preconditions.0.negate", True),
    ("preconditions: {command: a}", "preconditions.0.condition", "a"),
    ("precondition: {condition: a, expected: 're:^b', negate: false}", "preconditions.0.expected", "re:^b"),
    ("precondition: [{command: a}]", "preconditions.0.condition", "a"),
    ("otel: {enabled: true, endpoint: x}", "otel.endpoint", "x"),
    ("runConfig: {disableParamEdit: true}", "run_config.disable_param_edit", True),
    ("catchup: {policy: latest}", "catchup.policy", "latest"),
    ("schedule: '0 1 * * *'", "schedule.start", ("0 1 * * *",)),
]
STEP_FIELDS: list[tuple[str, str, Any]] = [
    ("{command: a, shell: nix-shell, shellPackages: [jq]}", "shell_packages", ("jq",)),
    ("{command: GET http://x, type: http, config: {timeout: 3}}", "config.timeout", 3),
    ("{command: GET http://x, executor: {type: http, config: {timeout: 3}}}", "type", "http"),
    ("{command: a, mailOnError: true}", "mail_on_error", True),
    ("{run: sub}", "call", "sub"),
    ("{command: a, dir: /x}", "working_dir", "/x"),
    ("{type: chat, llm: {provider: local, model: m}, messages: [{role: user, content: c}]}", "messages", None),
    ("{command: a, pool: gpu}", "pool", ("gpu",)),
    ("{command: a, secrets: []}", "secrets", ()),
    ("{command: a, lock: [a, b]}", "lock", ("a", "b")),
    ("{command: a, rateLimit: {name: api, limit: 3, intervalSec: 0.5}}", "rate_limit", None),
    ("{command: a, container: {image: alpine}}", "container.image", "alpine"),
    ("{command: a, description: what it does}", "description", "what it does"),
    ("{command: a, continueOn: {failed: true}}", "continue_on.failure", True),
    ("{command: a, continueOn: {skipped: true}}", "continue_on.skipped", True),
    ("{command: a, preconditions: [{command: b, negate: true}]}", "preconditions.0.negate", True),
    ("{command: a, precondition: {command: b}}", "preconditions.0.condition", "b"),
]


def _at(value: Any, path: str) -> Any:
    for name in path.split("."):
        if isinstance(value, dict):
            value = value[name]
        else:
            value = value[int(name)] if isinstance(value, tuple) else getattr(value, name)
    return value


@pytest.mark.parametrize(("text", "path", "expected"), DAG_FIELDS)
def test_a_field_of_the_workflow_is_read(text: str, path: str, expected: Any) -> None:
    loaded = load(f"name: x\n{text}\n")
    assert loaded.issues == ()
    assert _at(loaded.documents[0], path) == expected


@pytest.mark.parametrize(("text", "path", "expected"), STEP_FIELDS)
def test_a_field_of_a_step_is_read(text: str, path: str, expected: Any) -> None:
    loaded = load(f"name: x\nsteps:\n  - {text}\n")
    assert loaded.errors == []
    found = _at(loaded.documents[0].steps[0], path)
    assert found == expected if expected is not None else found
