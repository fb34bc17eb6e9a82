"""Secrets in the parameters of sub-runs are sealed on their way from worker to worker."""

import json
from typing import Any

import pytest

from services.worker.attempt.fan_out import fan_out
from services.worker.attempt.sealed_calls import sealed_call
from services.worker.inputs.sealing import CannotOpen, PassedSecrets, Seal, Sealer, open_task
from services.worker.output.masking import Masker
from shared.contracts.events import ChildCall
from shared.contracts.signing_keys import SharedKey
from shared.contracts.tasks import Task
from shared.language.expansion.expand import Scope
from shared.language.expansion.params_syntax import parse_params_text
from shared.language.expansion.sealed_text import has_sealed, is_sealed
from shared.language.expansion.secret_params import STARS, show_params
from shared.language.model import Step
from tests.unit.language.specs import step_of

CANARY = 's3cr3t "quoted" \\$x\nline two of it'
OLD, NEW, OTHER = (SharedKey(name, name.encode() * 16) for name in ("old", "new", "other"))
SEALER = Sealer([OLD])


def _task(root: str = "r1", **fields: Any) -> Task:
    facts = {"token": "t", "run_key": "k", "node": 0, "dag_name": "child", "dag_run_id": "c1", "step": Step(name="s")}
    return Task(**{**facts, "root_dag_name": "d", "root_dag_run_id": root, **fields})


def _called(params: str, secret: str = CANARY, sealer: Sealer = SEALER, field: str = "params") -> ChildCall:
    """Return the call of a step with these ``params``, in YAML, where ``${TOK}`` is the secret."""
    masker = Masker([secret])
    (call,) = fan_out(step_of(f"{{name: s, call: c, {field}: {params}}}"), Scope(({"TOK": secret},)), str, masker.text)
    return sealed_call(call, masker.text, Seal(sealer, _task(), masker.text))


def _prepared(given: str, **fields: Any) -> Task:
    return _task(options={"prepare": {"dag": {}, "given": given}}, **fields)


def _opened(call: ChildCall, sealer: Sealer = SEALER) -> tuple[str, tuple[str, ...]]:
    task, passed = open_task(_prepared(call.given), sealer)
    assert passed.whole == is_sealed(call.given)
    return task.options["prepare"]["given"], passed.texts


def _pairs(text: str) -> dict[str, str]:
    return {param.name: param.value for param in parse_params_text(text)[0]}


@pytest.mark.parametrize(
    ("params", "secret", "names"),
    [
        ('{A: "${TOK}", B: x}', CANARY, {"A", "B"}),
        ('{A: "Bearer ${TOK}!", B: x}', CANARY, {"A", "B"}),
        ("'A=${TOK} B=x'", "hunter2-and-more", {"A", "B"}),
        ("'${TOK}'", "hunter2-and-more", {"1"}),
        ('\'{"A": {"deep": ["${TOK}", 7, null]}, "B": 1e6}\'', "hunter2-and-more", {"A", "B"}),
    ],
)
def test_a_sub_run_receives_what_it_would_without_sealing(params: str, secret: str, names: set[str]) -> None:
    call, plain = _called(params, secret), _called(params, secret, Sealer())

    given, hidden = _opened(call)

    assert _pairs(given) == _pairs(plain.given)
    assert secret in hidden
    assert set(_pairs(call.given)) == names
    assert secret not in plain.shown
    assert call.shown == plain.shown
    assert Masker([secret]).text(call.model_dump_json()) == call.model_dump_json()


@pytest.mark.parametrize(
    ("field", "params", "secret"),
    [
        ("params", "'${TOK}'", "abcd1234=="),
        ("params", "'${TOK}'", 'user=ann pass="much secret"'),
        ("parallel", "['A=x ${TOK}']", "abcd1234=="),
        ("parallel", "['{\"A\": ${TOK}}']", '{"user": "ann", "password": "pw"}'),
        ("parallel", "['{\"A\": ${TOK}}']", "123456789"),
    ],
)
def test_a_secret_that_is_spread_over_parameters_is_sealed_as_a_whole(field: str, params: str, secret: str) -> None:
    call, plain = _called(params, secret, field=field), _called(params, secret, Sealer(), field)

    assert is_sealed(call.given)
    assert (call.params, call.shown) == (call.given, STARS)
    assert _opened(call)[0] == plain.given


def test_the_same_call_gives_the_same_text_and_other_calls_give_others() -> None:
    texts = [_called('{A: "${TOK}"}', secret).params for secret in ("one-secret", "one-secret", "two-secrets")]

    assert texts[0] == texts[1] != texts[2]


@pytest.mark.parametrize("sealer", [SEALER, Sealer()])
def test_a_call_without_secrets_is_unchanged(sealer: Sealer) -> None:
    assert _called("'A=x'", sealer=sealer) == ChildCall(dag="c", params='A="x"', given='A="x"')


def test_without_a_key_a_call_is_unchanged() -> None:
    call = _called('{A: "${TOK}"}', "hunter2-and-more", Sealer())

    assert (call.given, call.shown) == ('A="hunter2-and-more"', f'A="{STARS}"')


def test_a_task_is_opened() -> None:
    one, all_of_it = (SEALER.seal(text, [CANARY], _task()) for text in (f"x {CANARY}", json.dumps({"A": CANARY})))
    task = _task(params=(("A", one), ("B", "plain")), params_json=all_of_it)

    opened, passed = open_task(task, SEALER)

    assert opened.params == (("A", f"x {CANARY}"), ("B", "plain"))
    assert opened.params_json == json.dumps({"A": CANARY})
    assert passed == PassedSecrets((CANARY,))
    plain = _task(params=(("A", "dagway-sealed:v1:is not one"),))
    assert open_task(plain, SEALER) == (plain, PassedSecrets())


def test_json_stays_json_if_a_value_in_it_is_opened() -> None:
    """A scheduler of the previous version passes the values of the call on within its own JSON."""
    sealed = SEALER.seal(CANARY, [CANARY], _task())

    opened, _ = open_task(_task(params_json=json.dumps({"A": f"x-{sealed}-y"})), SEALER)

    assert json.loads(opened.params_json or "") == {"A": f"x-{CANARY}-y"}


def test_keys_are_replaced_one_after_the_other() -> None:
    with_old = _called('{A: "${TOK}"}', sealer=Sealer([OLD, NEW]))
    with_new = _called('{A: "${TOK}"}', sealer=Sealer([NEW, OLD]))

    assert with_old.given != with_new.given
    for sealer in (Sealer([OLD, NEW]), Sealer([NEW, OLD])):
        for call in (with_old, with_new):
            assert _pairs(_opened(call, sealer)[0]) == {"A": CANARY}
    with pytest.raises(CannotOpen, match="'old', which this worker does not have: add it to DAGWAY_WORKER_SEAL_KEYS"):
        _opened(with_old, Sealer([NEW]))


@pytest.mark.parametrize(
    ("task", "keys"),
    [(_task("r2"), [OLD]), (_task(root_dag_name="e"), [OLD]), (_task(), [SharedKey("old", OTHER.secret)])],
    ids=["another root run", "another DAG", "another key of that id"],
)
def test_a_value_from_elsewhere_is_not_opened(task: Task, keys: list[SharedKey]) -> None:
    sealed = SEALER.seal(CANARY, [CANARY], _task())

    with pytest.raises(CannotOpen, match="another root run has sealed it, or DAGWAY_WORKER_SEAL_KEYS"):
        open_task(task.model_copy(update={"params": (("A", sealed),)}), Sealer(keys))


def test_every_changed_byte_is_noticed() -> None:
    sealed = SEALER.seal("value", [], _task())
    start = sealed.rindex(":", 0, -1) + 1

    for place in range(start, len(sealed) - 2):
        forged = sealed[:place] + ("A" if sealed[place] != "A" else "B") + sealed[place + 1 :]
        with pytest.raises(CannotOpen):
            SEALER.open(forged, _task())


@pytest.mark.parametrize("text", ["[{}]", "{{A: {}", '{{"A": {}'])
def test_an_opened_value_is_escaped_only_in_json(text: str) -> None:
    sealed = SEALER.seal(CANARY, [], _task())

    assert SEALER.open(text.format(sealed), _task())[0] == text.format(CANARY)
    assert json.loads(SEALER.open(f'["{sealed}"]', _task())[0]) == [CANARY]


def test_a_sealed_value_is_shown_as_stars() -> None:
    sealed = SEALER.seal(CANARY, [], _task())

    assert has_sealed(f"x{sealed}y")
    assert not is_sealed(f"x{sealed}y")
    assert show_params((("A", sealed), ("B", f"x{sealed}y"), ("C", "z")), "") == (
        ("A", STARS),
        ("B", f"x{STARS}y"),
        ("C", "z"),
    )
