"""Random workflows of many families. The same seed makes the same workflows."""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

__all__ = ["FAMILIES", "Workflow", "workflows"]


@dataclass(frozen=True, slots=True)
class Workflow:
    """``may_show``: the names of the differences that it may show."""

    family: str
    spec: str
    may_show: frozenset[str] = frozenset()


_WORDS = ("alpha", "beta", "gamma", "delta")


def _word(rng: random.Random) -> str:
    return f"{rng.choice(_WORDS)}{rng.randrange(100)}"


def _step(name: str, command: str, *more: str) -> str:
    quoted = command.replace("'", "''")
    return "\n".join([f"  - name: {name}", f"    command: '{quoted}'", *(f"    {line}" for line in more)]) + "\n"


def _ends(rng: random.Random) -> str:
    return rng.choice(["true", "echo fine", "exit 3", "false", "echo out; echo err >&2; exit 1"])


def _chain(rng: random.Random) -> str:
    return "steps:\n" + "".join(_step(f"s{n}", _ends(rng)) for n in range(rng.randint(1, 4)))


def _graph(rng: random.Random) -> str:
    steps = []
    for n in range(rng.randint(3, 6)):
        before = [f"s{one}" for one in range(n) if rng.random() < 0.4]
        steps.append(_step(f"s{n}", _ends(rng) if n > 1 else "echo start", f"depends: [{', '.join(before)}]"))
    return "type: graph\nsteps:\n" + "".join(steps)


def _outputs(rng: random.Random) -> str:
    word = _word(rng)
    first = _step("make", f"echo {word}", "output: MADE")
    return "steps:\n" + first + _step("use", "echo got ${MADE}", "output: USED") + _step("end", "echo ${USED}!")


def _params(rng: random.Random) -> str:
    style = rng.choice(["params: A={w} B=two", "params:\n  - A: {w}\n  - B: two", "params: '{w} two'"])
    use = "echo $1 $2" if style.endswith("'") else "echo ${A} ${B}"
    return style.format(w=_word(rng)) + "\nsteps:\n" + _step("show", use)


def _env(rng: random.Random) -> str:
    lines = ["env:", f"  - A: {_word(rng)}", f"  - N: {rng.choice(['1e3', '7e9', '1.50', '12', 'true', '1.5e3'])}"]
    lines += ["  - C: ${A}-${N}"]
    return "\n".join(lines) + "\nsteps:\n" + _step("show", "echo $A $N $C")


def _continue_on(rng: random.Random) -> str:
    rule = rng.choice(["{failure: true}", "{exitCode: [3]}", "{failure: true, markSuccess: true}", "{exitCode: [4]}"])
    code = rng.choice([0, 3, 4])
    return "steps:\n" + _step("maybe", f"exit {code}", f"continueOn: {rule}") + _step("after", "echo after")


def _preconditions(rng: random.Random) -> str:
    met = rng.choice(["x", "y"])
    return (
        "steps:\n"
        + _step("if", "echo yes", "preconditions:", "  - condition: x", f"    expected: {met}")
        + _step("then", "echo then", f"continueOn: {{skipped: {rng.choice(['true', 'false'])}}}")
        + _step("end", "echo end")
    )


def _handlers(rng: random.Random) -> str:
    names = rng.sample(["success", "failure", "exit"], rng.randint(1, 3))
    handlers = "".join(f"  {name}:\n    command: echo on {name}\n" for name in names)
    return "handlerOn:\n" + handlers + "steps:\n" + _step("work", _ends(rng))


def _handlers_that_call(rng: random.Random) -> str:
    kid = "name: kid\nparams: X=none\nsteps:\n" + _step("inner", "sleep 0.2; echo kid ${X}", "output: Y")
    met = rng.choice(["true", "false"])
    handlers = "".join(f"  {name}: {{call: kid, params: X={name}}}\n" for name in ("success", "abort", "exit"))
    return f"preconditions: '{met}'\nhandlerOn:\n{handlers}steps:\n" + _step("work", "echo work") + "---\n" + kid


def _retries(rng: random.Random) -> str:
    tries = rng.randint(1, 2)
    command = f"echo try; exit {rng.choice([0, 2])}"
    return "steps:\n" + _step("again", command, f"retryPolicy: {{limit: {tries}, intervalSec: 0}}")


def _repeats(rng: random.Random) -> str:
    policy = f"repeatPolicy: {{repeat: until, limit: {rng.randint(1, 3)}, intervalSec: 0, condition: a, expected: b}}"
    return "steps:\n" + _step("over", "echo ${N}x", "output: N", policy) + _step("end", "echo end ${N}")


def _scripts(rng: random.Random) -> str:
    lines = [f"echo {_word(rng)}", rng.choice(["printf 'no line end'", "echo two >&2", "exit 5"]), "echo last"]
    body = "".join(f"      {line}\n" for line in lines)
    return f"steps:\n  - name: script\n    script: |\n{body}"


def _calls(rng: random.Random) -> str:
    word, ending = _word(rng), rng.choice(["true", "exit 2"])
    kid = "name: kid\nparams: X=none\nsteps:\n" + _step("inner", "echo kid ${X}", "output: Y") + _step("last", ending)
    call = f"  - name: call\n    call: kid\n    params: X={word}\n"
    return "steps:\n" + _step("before", "echo before") + call + "---\n" + kid


def _fan_out(rng: random.Random) -> str:
    items = ", ".join(_word(rng) for _ in range(rng.randint(1, 3)))
    kid = "name: kid\nparams: ITEM=none\nsteps:\n" + _step("inner", "echo ${ITEM}")
    many = f"  - name: many\n    call: kid\n    parallel: [{items}]\n"
    return "steps:\n" + many + _step("end", "echo end") + "---\n" + kid


def _split_items(rng: random.Random) -> str:
    a, b = _word(rng), _word(rng)
    quoted, objects = [f'"{a} x" {b}', f'{b} "{a}, x"', f'"" {a}'], [f'{{"V":"{a}"}} {{"V":"{b}"}}', f'{{"V": "{a}"}}']
    items = rng.choice([*quoted, *objects, f'["{a}", "", {{"V": "{b}"}}]', f"{a} x,{b}"])
    kid = "name: kid\nparams: V=none\nsteps:\n" + _step("inner", "echo ${V} $2")
    many = f"  - name: many\n    call: kid\n    parallel: ${{LIST}}\n---\n{kid}"
    return "steps:\n" + _step("list", f"printf %s '{items}'", "output: LIST") + many


def _must_fail(rng: random.Random) -> str:
    bad = rng.choice(["type: http", "type: http\n    command: GET", "type: archive\n    command: foo", "type: gha"])
    return "steps:\n" + _step("fine", "echo fine") + f"  - name: bad\n    {bad}\n" + _step("after", "echo after")


def _streams(rng: random.Random) -> str:
    merged = rng.choice(["separate", "merged"])
    return f"logOutput: {merged}\nsteps:\n" + _step("both", "echo out; echo err >&2")


def _values_in_shells(rng: random.Random) -> str:
    value = rng.choice(["it's", 'say "hi"', "a;b", "$(echo run)", "a b  c"])
    quoted = value.replace("'", "''")
    return f"params:\n  - V: '{quoted}'\nsteps:\n" + _step("show", "echo ${V}")


def _plain_scalars(rng: random.Random) -> str:
    return f"env:\n  - V: {rng.choice(['010', 'null', '1_000'])}\nsteps:\n" + _step("show", "echo [$V]")


def _json(rng: random.Random) -> str:
    value = rng.choice(['{"n": 1000000}', '{"n": {"a": 1}}', '{"n": "text"}', '{"n": 3}'])
    return f"env:\n  - V: '{value}'\nsteps:\n" + _step("show", "echo ${V.n}")


def _jq(rng: random.Random) -> str:
    query = rng.choice([".n", ".n[]", ".n.a", ".missing"])
    bad = f"  - name: query\n    type: jq\n    command: '{query}'\n    script: '{{\"n\": [1, 2]}}'\n"
    return "steps:\n" + bad + _step("end", "echo end")


def _mark_success(rng: random.Random) -> str:
    policy = "retryPolicy: {limit: 1, intervalSec: 0, exitCode: [3]}"
    rule = "continueOn: {failure: true, markSuccess: true}"
    return "steps:\n" + _step("maybe", f"exit {rng.choice([0, 1, 3])}", policy, rule) + _step("end", "echo end")


FAMILIES: Mapping[str, tuple[Callable[[random.Random], str], frozenset[str]]] = {
    "chain": (_chain, frozenset()),
    "graph": (_graph, frozenset()),
    "outputs": (_outputs, frozenset()),
    "params": (_params, frozenset()),
    "env": (_env, frozenset()),
    "continue-on": (_continue_on, frozenset()),
    "preconditions": (_preconditions, frozenset()),
    "handlers": (_handlers, frozenset()),
    "handlers-that-call": (_handlers_that_call, frozenset()),
    "retries": (_retries, frozenset()),
    "repeats": (_repeats, frozenset()),
    "scripts": (_scripts, frozenset()),
    "calls": (_calls, frozenset()),
    "fan-out": (_fan_out, frozenset({"parallel-order"})),
    "split-items": (_split_items, frozenset({"parallel-order"})),
    "must-fail": (_must_fail, frozenset()),
    "streams": (_streams, frozenset({"merged-order"})),
    "values-in-shells": (_values_in_shells, frozenset({"value-in-shell"})),
    "plain-scalars": (_plain_scalars, frozenset({"plain-scalars"})),
    "json": (_json, frozenset({"json-values"})),
    "jq": (_jq, frozenset({"jq-errors"})),
    "mark-success": (_mark_success, frozenset({"mark-success"})),
}
"""By name: what makes a workflow of the family, and the differences that it may show."""


def workflows(seed: int, count: int) -> Iterator[Workflow]:
    """Yield ``count`` workflows, each family in turn."""
    rng = random.Random(seed)
    names = list(FAMILIES)
    for number in range(count):
        family = names[number % len(names)]
        make, may_show = FAMILIES[family]
        yield Workflow(family, make(rng), may_show)
