"""Files in the YAML of Dagu 2 are recognised and read as this language. What has no counterpart is named."""

from typing import Any

import pytest

from shared.language.expansion.expand import Scope, expand, expand_text, unresolved
from shared.language.expansion.shell_text import expand_for_shell
from shared.language.load import load
from shared.language.model import Dag, DagType, Handler, Step
from shared.language.snapshot import local_spec
from tests.harness.cpu_time import within_cpu_time
from tests.unit.language.specs import dag_of, errors_of

RUN = "labels: [x]\nsteps:\n"
"""The beginning of a document that is recognised whatever its steps are."""


def only(step: str, above: str = "labels: [x]") -> Step:
    return dag_of(f"{above}\nsteps:\n  - {step}\n").steps[0]


def warnings_of(text: str) -> list[str]:
    return [str(issue) for issue in load(text).warnings]


@pytest.mark.parametrize(
    ("second", "first"),
    [
        ("{id: a, run: echo hi}", "{id: a, name: a, command: echo hi}"),
        ("{run: [echo a, {echo b: c}]}", "{command: [echo a, 'echo b: c']}"),
        ('{run: "a\\nb\\n", with: {shell: bash -e, shell_args: [-u]}}', '{command: "a\\nb\\n", shell: [bash, -e, -u]}'),
        ("{run: a, with: {shell: bash, shell_packages: [curl]}}", "{command: a, shell: bash, shellPackages: [curl]}"),
        ("{action: exec, with: {command: /bin/x, args: [a b, 1]}}", "{command: \"/bin/x 'a b' 1\", shell: direct}"),
        (
            "{action: http.request, with: {method: PUT, url: 'u://h', body: b, skip_tls_verify: true, format: json}}",
            "{type: http, command: 'PUT u://h', config: {body: b, skipTLSVerify: true, json: true}}",
        ),
        (
            "{action: ssh.run, with: {host: h, user: u, strict_host_key: false, command: up}}",
            "{type: ssh, command: up, config: {host: h, user: u, strictHostKey: false}}",
        ),
        (
            "{action: docker.run, with: {image: i, auto_remove: true, command: make}}",
            "{type: docker, command: make, config: {image: i, autoRemove: true}}",
        ),
        ("{action: container.run, with: {image: i}}", "{type: docker, config: {image: i}}"),
        ("{action: jq.filter, with: {filter: .a, data: {a: 1}}}", "{type: jq, command: .a, script: '{\"a\": 1}'}"),
        ("{action: dag.run, with: {dag: sub, params: {A: 1}}}", "{call: sub, params: {A: 1}}"),
        (
            "{action: dag.run, with: {dag: sub}, parallel: {items: [a], max_concurrent: 2}}",
            "{call: sub, parallel: {items: [a], maxConcurrent: 2}}",
        ),
        ("{action: mail.send, with: {to: [a@b], subject: s}}", "{type: mail, config: {to: [a@b], subject: s}}"),
        (
            "{action: archive.extract, with: {source: a.zip, destination: b, strip_components: 1}}",
            "{type: archive, command: extract, config: {source: a.zip, destination: b, stripComponents: 1}}",
        ),
        (
            "{action: chat.completion, with: {provider: openai, model: m, prompt: p, max_tokens: 9, base_url: u}}",
            (
                "{type: chat, messages: [{role: user, content: p}], "
                "llm: {provider: openai, model: m, maxTokens: 9, baseURL: u}}"
            ),
        ),
        (
            "{action: human.task, id: t, with: {prompt: p, form: {type: object, properties: {a: {}}, required: [a]}}}",
            "{type: hitl, id: t, name: t, config: {prompt: p, input: [a], required: [a]}}",
        ),
        ("{action: noop}", "{type: command, shell: sh, command: 'true'}"),
        (
            (
                "{run: a, retry_policy: {limit: 2, interval_sec: 3, exit_code: [1]}, continue_on: {exit_code: 1, "
                "mark_success: true}, repeat_policy: {repeat: while, condition: c, max_interval_sec: 9}}"
            ),
            (
                "{command: a, retryPolicy: {limit: 2, intervalSec: 3, exitCode: [1]}, continueOn: {exitCode: 1, "
                "markSuccess: true}, repeatPolicy: {repeat: while, condition: c, maxIntervalSec: 9}}"
            ),
        ),
        (
            "{run: a, working_dir: /w, timeout_sec: 5, signal_on_stop: SIGINT, log_output: merged}",
            "{command: a, workingDir: /w, timeoutSec: 5, signalOnStop: SIGINT, logOutput: merged}",
        ),
        (
            "{run: a, container: {image: i, pull_policy: always, working_dir: /w}}",
            "{command: a, container: {image: i, pullPolicy: always, workingDir: /w}}",
        ),
        (
            "{run: a, preconditions: [{eval: $(date +%u), expected: '1'}]}",
            "{command: a, preconditions: [{condition: '`date +%u`', expected: '1'}]}",
        ),
    ],
)
def test_a_step_is_the_same_in_both_generations(second: str, first: str) -> None:
    assert only(second).model_dump() == only(first, above="tags: [x]").model_dump()


@pytest.mark.parametrize(
    "name",
    ["child", "a/b.yaml", "~/a.yaml", "$A-x", "${A}", "${A:-my child}_2", "${s.output.a}", "`pick a b`", "../${A}"],
)
def test_run_with_what_dagu_1_can_call_is_a_call(name: str) -> None:
    assert dag_of(f"steps: [{{run: '{name}'}}]").steps[0].call == name


@pytest.mark.parametrize("beside", ["params: A=1", "parallel: [a, b]"])
def test_run_beside_fields_of_a_call_is_a_call(beside: str) -> None:
    assert dag_of(f"steps: [{{run: my dags/child.yaml, {beside}}}]").steps[0].call == "my dags/child.yaml"


@pytest.mark.parametrize("run", ["echo hi", "'${params.A}'", "$A b", "[make, make b]", "a; b", "echo `a`", "$(a)"])
def test_run_with_what_nobody_can_call_is_a_command(run: str) -> None:
    assert dag_of(f"params: [{{A: 1}}]\nsteps: [{{run: {run}}}]").steps[0].call == ""


def test_the_fields_of_a_document_are_the_same_in_both_generations() -> None:
    second = dag_of(
        "labels: {team: data}\ntype: chain\nmax_active_runs: 2\nmax_active_steps: 3\ntimeout_sec: 4\n"
        "hist_retention_days: 5\nworking_dir: /w\nlog_dir: /l\n"
        "skip_if_successful: true\nworker_selector: {gpu_kind: a}\n"
        "mail_on: {failure: true}\nerror_mail: {from: a, to: b, attach_logs: true}\n"
        "smtp: {host: h, skip_tls_verify: true}\nssh: {host: h, user: u, strict_host_key: false}\n"
        "run_config: {disable_param_edit: true}\n"
        "handler_on: {failure: {run: f}, exit: {action: noop}}\nsteps: [{run: a b}, {run: c}]\n"
    )
    first = dag_of(
        "tags: [team=data]\ntype: chain\nmaxActiveRuns: 2\nmaxActiveSteps: 3\ntimeoutSec: 4\nhistRetentionDays: 5\n"
        "workingDir: /w\nlogDir: /l\nskipIfSuccessful: true\nworkerSelector: {gpu_kind: a}\n"
        "mailOn: {failure: true}\nerrorMail: {from: a, to: b, attachLogs: true}\nsmtp: {host: h, skipTLSVerify: true}\n"
        "ssh: {host: h, user: u, strictHostKey: false}\nrunConfig: {disableParamEdit: true}\n"
        "handlerOn: {failure: {command: f}, exit: {type: command, shell: sh, command: 'true'}}\n"
        "steps: [{command: a b}, {command: c}]\n"
    )

    assert second.model_dump() == first.model_dump()


@pytest.mark.parametrize(
    "text",
    [
        "steps: [{name: a, run: child}]",
        "steps: [{name: a, run: folder/child.yaml, params: A=1}]",
        "steps: [{name: a, command: b, config: {a_b: 1}, env: [{C_D: 1}]}]",
        "params: [{a_b: 1}]\nsteps: [echo a_b]",
    ],
)
def test_a_document_of_the_first_generation_is_read_as_before(text: str) -> None:
    dag, loaded = dag_of(text), load(text)

    assert (dag.type, loaded.warnings) == (DagType.CHAIN, [])
    assert not any("run" in str(step.commands) for step in dag.steps)


def test_one_document_of_the_second_generation_decides_for_the_whole_file() -> None:
    main, sub = load(
        "labels: [x]\nsteps: [{action: dag.run, with: {dag: sub}}]\n---\nname: sub\nsteps: [{run: make}]"
    ).documents

    assert (main.steps[0].call, sub.steps[0].commands[0].text) == ("sub", "make")


def test_a_local_dag_stays_of_the_second_generation_without_the_document_that_told_so() -> None:
    text = "steps: [{action: dag.run, with: {dag: sub}}]\n---\nname: sub\nsteps:\n  - run: make\n"

    alone = local_spec(text, "sub")

    assert alone is not None
    assert dag_of(alone).steps[0].commands[0].text == "make"
    assert local_spec("steps: [call: sub]\n---\nname: sub\nsteps: [run: child]\n", "sub") == (
        "name: sub\nsteps: [run: child]\n"
    )


def test_the_base_configuration_may_be_of_either_generation() -> None:
    base = "max_active_steps: 3\nhandler_on: {exit: {run: echo bye now}}\nenv: [{A_B: 1}]"
    for text in ("steps: [{command: a}, {command: b}]", "steps: [{run: a x}]"):
        loaded = load(text, file_name="f", base=base)
        assert loaded.errors == []
        dag = loaded.documents[0]
        assert (dag.max_active_steps, dag.type, dag.env) == (3, DagType.CHAIN, (("A_B", "1"),))
        assert dag.handlers[Handler.EXIT].commands[0].text == "echo bye now"


def test_steps_with_dependencies_are_a_graph() -> None:
    graph = dag_of(f"{RUN}  - {{id: a, run: x}}\n  - {{id: b, name: B, run: y}}\n  - {{id: c, run: z, depends: b}}\n")

    assert graph.type is DagType.GRAPH
    assert {step.name: step.depends for step in graph.steps} == {"a": (), "B": (), "c": ("B",)}


def test_steps_without_type_and_dependencies_run_in_order_with_a_warning() -> None:
    text = f"{RUN}  - {{id: a, run: x}}\n  - {{id: b, run: y}}\n"

    assert dag_of(text).steps[1].depends == ("a",)
    assert warnings_of(text) == [
        (
            "line 2, column 1: steps: the steps run one after the other: with no type and no depends, releases of "
            "Dagu 2 differ (write type: chain, or type: graph to run them at once)"
        )
    ]


def test_declared_parameters_become_a_schema_with_values() -> None:
    dag = dag_of(
        "params:\n  - {name: n, type: integer, default: 3, required: true}\n  - {name: d, eval: $(date)}\n  - K: v\n"
        "steps: [{run: a b}]"
    )
    same = dag_of(
        "params: {schema: {type: object, required: [n], properties: {n: {type: integer}, d: {}, K: {}}}, "
        "values: {n: 3, d: '`date`', K: v}}\nsteps: [{command: a b}]"
    )
    inline = dag_of("params: {type: object, properties: {n: {type: integer, default: 3}}}\nsteps: [{run: a b}]")

    assert sorted(dag.params, key=str) == sorted(same.params, key=str)
    assert dag.param_schema == same.param_schema
    assert [(param.name, param.value) for param in inline.params] == [("n", "3")]


def test_env_that_needs_a_parameter_becomes_env_of_every_step() -> None:
    dag = dag_of(
        "params: [{P: 1}]\nenv: [{A: a}, {B: '${params.P}'}, {C: '$B'}]\ndefaults: {timeout_sec: 7, env: [{D: d}]}\n"
        "handler_on: {exit: {run: x y}}\nsteps: [{run: a b, env: {E: e}}]"
    )

    assert dag.env == (("A", "a"),)
    assert dag.steps[0].env == (("B", "${dagu2.params.P}"), ("C", "$B"), ("D", "d"), ("E", "e"))
    assert (dag.steps[0].timeout_sec, dag.handlers[Handler.EXIT].env[0]) == (7, ("B", "${dagu2.params.P}"))


def test_references_are_rewritten_where_they_differ() -> None:
    dag = dag_of(
        "consts: [{a: 1}, {b: '${consts.a}2'}]\nenv: [{OWN: x}]\n"
        "steps:\n  - {id: t, action: human.task, with: {prompt: p, form: {properties: {who: {}}}}}\n"
        "  - id: f\n    run: make it\n    output: {v: {from: stdout, decode: json, select: .x.y}, w: {from: stdout}}\n"
        "  - id: g\n    depends: [t, f]\n    run: >-\n"
        "      ${consts.b} ${env.OWN} ${env.HOME} ${context.run.id} ${dag.name} ${run.scheduled_at}\n"
        "      ${steps.t.outputs.who} ${f.output.v.z} ${f.output.w} ${f.stdout} ${params.P}\n"
    )

    assert dag.steps[1].output is not None
    assert dag.steps[1].output.name == "DAG_OUTPUT_F"
    assert dag.steps[2].commands[0].text == (
        "12 ${dagu2.env.OWN} ${HOME} ${DAG_RUN_ID} ${DAG_NAME} ${DAG_RUN_SCHEDULE_TIME} ${dagu2.env.who} "
        "${f.output.x.y.z} ${f.output} ${f.stdout} ${dagu2.params.P}"
    )


def test_a_namespaced_reference_is_the_variable_wherever_it_stands() -> None:
    text = "${params.P} '${env.P}' ${env.BASE} ${params.NONE}"
    command = only(f'{{run: "{text}"}}', "params: [{P: 1}]\nenv: [{BASE: x}]\nlabels: [x]").commands[0].text
    scope = Scope(({"P": "a b;c"},), trusted=frozenset(), paths_only=({"BASE": "x"},))

    assert expand_text(command, scope) == "a b;c 'a b;c' x ${dagu2.params.NONE}"
    assert expand("${dagu2.params.P}${dagu2.env.NONE}", scope) == "a b;c"
    text, variables = expand_for_shell("echo ${dagu2.params.P} '${dagu2.params.P}'", scope)
    assert (text, variables) == ("echo ${DAG_VALUE_1} 'a b;c'", {"DAG_VALUE_1": "a b;c"})
    assert not unresolved("${dagu2.params.P}", {"P": None})
    assert unresolved("${dagu2.params.Q}", {"P": None})


@pytest.mark.parametrize("text", ["node -e '`${params.P} ${env.HOME}`'", 'print("${env.P} ${params.P}")', "${env.P}x"])
def test_a_program_in_a_file_of_dagu_1_keeps_its_own_references(text: str) -> None:
    scope = Scope(({"P": "1", "HOME": "/"},), paths_only=({"HOME": "/"},))
    script = dag_of(f"params: [{{P: 1}}]\nsteps:\n  - shell: cat\n    script: |\n      {text}\n").steps[0].script

    assert script.strip() == text
    assert expand_text(script, scope) == script
    assert expand_for_shell(script, scope) == (script, {})


@pytest.mark.parametrize("field", ["env", "params"])
def test_a_variable_named_params_keeps_its_meaning(field: str) -> None:
    above = f"{field}: [{{params: '{{}}'}}]\nlabels: [x]"

    assert only('{run: "echo ${params.P}"}', above).commands[0].text == "echo ${params.P}"


def test_an_empty_constant_is_an_empty_text() -> None:
    assert only('{run: "echo [${consts.a}]"}', "consts: {a: ''}").commands[0].text == "echo []"


def test_what_many_steps_have_in_common_does_not_fill_the_memory() -> None:
    steps = "steps:\n" + "".join(f"  - {{id: s{number}, run: x}}\n" for number in range(3_000))
    defaults = "defaults:\n  env:\n" + "".join(f"    - A{number}: x\n" for number in range(2_000))
    late = "params: [{P: x}]\nenv:\n" + "".join(f"  - A{number}: ${{params.P}}\n" for number in range(2_000))
    for above in (defaults, late):
        with within_cpu_time(5):
            (error,) = errors_of(f"labels: [x]\ntype: graph\n{above}{steps}")
        assert "what all steps have in common is repeated as more than 4194304 characters" in error


def test_constants_that_double_each_other_do_not_fill_the_memory() -> None:
    doubled = "".join(f"  c{n}: '${{consts.c{n - 1}}}${{consts.c{n - 1}}}'\n" for n in range(1, 40))
    repeated = "".join(f"  - run: echo ${{consts.c0}} {n}\n" for n in range(9))
    for text in (f"consts:\n  c0: abc\n{doubled}steps: []\n", f"consts:\n  c0: {'x' * 600_000}\nsteps:\n{repeated}"):
        assert errors_of(text) == [
            "line 1, column 1: consts: the constants stand for more than 4194304 characters in all"
        ]


@pytest.mark.parametrize(
    ("step", "error"),
    [
        ("{action: router.route, with: {}}", "steps[0].action: action router.route has no counterpart here (give the"),
        ("{action: htp.request}", 'has no counterpart here (did you mean "http.request"?)'),
        ("{action: http.request, with: {method: GET}}", "steps[0].with.url: with.url is required"),
        (
            "{action: http.request, with: {method: GET, url: u, files: {}}}",
            "files of http steps has no counterpart here",
        ),
        ("{action: jq.filter, with: {filter: ., input: f}}", "steps[0].with.input: input has no counterpart here"),
        (
            "{action: dag.enqueue, with: {dag: a}}",
            "has no counterpart here (use dag.run, or dagway enqueue in a run step)",
        ),
        ("{run: a b, action: noop}", "run and action cannot be used together"),
        ("{run: a b, command: c}", "command cannot be used together with run or action"),
        ("{run: a b, with: {image: i}}", "with of a run step cannot have image (only shell,"),
        ("{foreach: {items: [1]}}", "foreach has no counterpart here (call a workflow with parallel instead)"),
        ("{run: a b, outputs: [{name: n}]}", "outputs has no counterpart here (print the value, and name it"),
        ("{run: a b, approval: {prompt: p}}", "approval has no counterpart here (add a human.task step after it)"),
        ("{run: a b, stdout: {artifact: f}}", "stdout cannot be a map here"),
        ("{id: a, run: a b, output: {x: {from: file, path: p}}}", "this form of output has no counterpart here"),
        ("{run: 'echo ${steps.a.outputs.b}'}", "${steps.a.outputs.b} has no counterpart here"),
        ("{run: 'echo ${consts.nope}'}", "${consts.nope} has no counterpart here"),
        ("{run: a b, retry_policy: {limt: 1}}", "retryPolicy: has invalid keys: limt"),
    ],
)
def test_what_has_no_counterpart_is_an_error_with_its_line(step: str, error: str) -> None:
    found = errors_of(f"{RUN}  - {step}\n")

    assert any(error in each for each in found), found
    assert all(each.startswith("line 3, ") for each in found)


def test_what_a_run_does_not_need_is_a_warning_with_its_line() -> None:
    text = "tools: [a]\nretry_policy: {limit: 1}\nsomething: 1\nsteps:\n  - {run: a b, odd_key: 1}\n"

    assert dag_of(text).steps[0].commands[0].text == "a b"
    assert warnings_of(text) == [
        "line 1, column 1: tools: tools has no counterpart here, and is ignored (install the programs on the workers)",
        (
            "line 2, column 1: retry_policy: retry_policy has no counterpart here, and is ignored (the run is not "
            "retried as a whole; give the steps a retry_policy)"
        ),
        "line 3, column 1: something: unknown key is ignored: something",
        "line 5, column 16: steps[0]: unknown key is ignored: odd_key",
    ]


def test_a_logged_message_is_text_for_no_shell() -> None:
    script = only("{action: log.write, with: {message: 'a $(b) END_OF_MESSAGE'}}").script

    assert script.splitlines() == ["cat <<'END_OF_MESSAGE_'", "a $(b) END_OF_MESSAGE", "END_OF_MESSAGE_"]


@pytest.mark.parametrize(
    "text",
    [
        "labels: 1\nsteps: 1",
        "with: 1\nhandler_on: 1\nsteps: [{action: 1, with: 1}, {run: {a: b}}, [{run: [[1]]}]]",
        "consts: 1\ndefaults: 1\nparams: {type: object, properties: {a: 1}}\nenv: 1\nsteps: {a: {run: a b}, b: 1}",
        "labels: x\nsteps:\n - {id: [1], run: a b, output: {v: {select: [1], decode: json}}, container: 1, exec: 1}",
        "labels: x\nsteps: [{action: human.task, with: {form: {required: [1], properties: 1}}}]",
        "labels: x\nsteps: [{action: exec, with: {args: 1}}]",
        'labels: x\nsteps: [{run: a b, with: {shell: "a \'b", shell_args: [1]}}]',
        "labels: x\nparams: [{name: a, type: 1, default: [1]}, {name: b}]\nsteps: [{run: a b}]",
    ],
)
def test_hostile_and_odd_values_never_raise(text: str) -> None:
    loaded: Any = load(text)

    assert isinstance(loaded.documents[0], Dag)


@pytest.mark.timeout(20)
def test_a_long_text_to_run_is_recognised_at_once() -> None:
    assert load(f"steps: [{{run: '{'${a' * 300_000}'}}]\n").dag is not None
