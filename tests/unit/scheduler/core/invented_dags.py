"""Any dag of a few steps, as a Hypothesis strategy."""

from hypothesis import strategies as st

from shared.language.model import ContinueOn, Dag, Handler, RetryPolicy, Step
from tests.unit.scheduler.core.stage import make_dag, step

__all__ = ["dags"]

_RULES = (
    ContinueOn(),
    ContinueOn(),
    ContinueOn(failure=True),
    ContinueOn(skipped=True),
    ContinueOn(failure=True, skipped=True),
    ContinueOn(exit_code=(1,)),
    ContinueOn(exit_code=(7,)),
    ContinueOn(failure=True, mark_success=True),
)
_POLICIES = (
    None,
    None,
    RetryPolicy(limit=0, interval_sec=0),
    RetryPolicy(limit=1, interval_sec=0),
    RetryPolicy(limit=2, interval_sec=5, backoff=2),
    RetryPolicy(limit=2, interval_sec=0, exit_code=(7,)),
)

# Made once: Hypothesis examines each new strategy before it draws from it.
_RULE, _POLICY = st.sampled_from(_RULES), st.sampled_from(_POLICIES)
_KIND = st.sampled_from(["", "", "", "hitl"])
_HANDLERS = st.sets(st.sampled_from(list(Handler)))
_PARENTS = [st.lists(st.integers(0, idx - 1), max_size=3) if idx else st.just([]) for idx in range(12)]
_PLACEMENT = st.sampled_from(["stick", "spread"])


@st.composite
def dags(draw: st.DrawFn, *, least: int = 0, limits: tuple[float, ...] = (0,)) -> Dag:
    """Any dag of a few steps: a chain, or a graph, with the first steps defined first or last."""
    count = draw(st.integers(least, 12))
    chain = draw(st.booleans())
    backwards = draw(st.booleans())
    steps: list[Step] = []
    for idx in range(count):
        if chain:
            depends = [f"s{idx - 1}"] if idx else []
        else:
            depends = [f"s{parent}" for parent in draw(_PARENTS[idx])]
        rule, policy = draw(_RULE), draw(_POLICY)
        steps.append(step(f"s{idx}", *dict.fromkeys(depends), type=draw(_KIND), continue_on=rule, retry_policy=policy))
    if backwards:
        steps.reverse()
    handlers = draw(_HANDLERS)
    return make_dag(
        *steps,
        handlers=sorted(handlers, key=list(Handler).index),
        max_active_steps=draw(st.integers(0, 3)),
        placement=draw(_PLACEMENT),
        timeout_sec=draw(st.sampled_from(limits)),
    )
