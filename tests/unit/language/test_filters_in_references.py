"""References with a jq filter: what the filter is given, and who may bring one."""

from shared.language.expansion.expand import Scope, StepFacts, expand, expand_text, unresolved
from shared.language.expansion.resolve import needs_worker, resolve_params
from shared.language.model import Dag, Param


def test_a_filter_is_given_the_value_as_data() -> None:
    asked = []

    def run_filter(given: str, text: str) -> str | None:
        asked.append((given, text))
        return None if "bad" in text else '"$(id) ${X} `id`"'

    scope = Scope(({"J": '{"a":[1],"n-1":5}', "T": "text"},), {"s": StepFacts(output='{"a":1}')}, run_filter=run_filter)

    assert expand_text("${J.a | length}-${s.output.a + 1}", scope) == "$(id) ${X} `id`-$(id) ${X} `id`"
    assert expand("${J.a|length}|${J.a-1}", scope) == "$(id) ${X} `id`|$(id) ${X} `id`"
    assert asked == [
        ('{"a":[1],"n-1":5}', ".a | length"),
        ('{"a":1}', ".a + 1"),
        ('{"a":[1],"n-1":5}', ".a|length"),
        ('{"a":[1],"n-1":5}', ".a-1"),
    ]
    # A filter that fails, and one of what is no JSON or not set, stays for the shell. A key with a minus is a key.
    left = "${J.a | bad}${T.a | length}${U.a | length}"
    assert expand_text(left, scope) == left
    assert (expand(left, scope), expand("${J.n-1}", scope)) == ("", "5")


def test_a_request_brings_no_filter() -> None:
    def run_filter(given: str, text: str) -> str | None:
        return f'"{text}"'

    dag = Dag(name="d", params=(Param(name="J", value='{"a":1}'), Param(name="D", value="${J.a | length}")))

    def resolved(given: str) -> dict[str, str]:
        return dict(resolve_params(dag, given, run_filter=run_filter)[0])

    assert needs_worker(dag)
    assert resolved("")["D"] == ".a | length"
    assert resolved('D="${J.a | env}"')["D"] == "${J.a | env}"
    assert resolved('{"D": "${J.a | env}"}')["D"] == "${J.a | env}"


def test_a_filter_needs_a_worker() -> None:
    known = {"A": None}
    filters = ("${A.k | length}", "${A.n-1}", "${A.n-.m}", "${A.n -m}")
    paths = ("${A.k[-1]}", "${A.a-key}", "${A.a-key.b}")
    assert [unresolved(text, known) for text in filters + paths] == [True] * 4 + [False] * 3


def test_what_may_be_a_filter_stays_as_written_where_none_runs() -> None:
    scope = Scope(({"J": '{"n":5,"a-1":6}'},))
    assert expand_text("${J.n | floor} ${J.n-1} ${J.a-1} ${J.not-there}", scope) == "${J.n | floor} ${J.n-1} 6 "
    assert expand_text("$J.n-1.", scope) == "."
    # An empty text would stand for the DAG's own folder, and the step was not meant to run there.
    assert expand("/data/${J.n | floor}/${U.n-1}/$J.n-1/${U.n}", scope) == "/data/${J.n | floor}/${U.n-1}//"
