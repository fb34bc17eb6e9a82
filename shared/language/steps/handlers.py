"""Read ``handlerOn``: the steps that run when a run begins, ends or waits."""

from shared.language.issues import PlaceInBase
from shared.language.model import Handler, Step
from shared.language.steps.approval import APPROVAL
from shared.language.steps.step import STEP_KEYS, DagDefaults, check_step, has_nothing_to_run, read_step
from shared.language.yaml.fields import Fields, Vocabulary
from shared.language.yaml.reader import YamlMap

__all__ = ["read_handlers"]

_HANDLERS = Vocabulary("init", "success", "failure", "abort", "cancel", "exit", "wait")
_HANDLER_OF = {
    "init": Handler.INIT,
    "success": Handler.SUCCESS,
    "failure": Handler.FAILURE,
    "abort": Handler.ABORT,
    "cancel": Handler.ABORT,
    "exit": Handler.EXIT,
    "wait": Handler.WAIT,
}
_IGNORED_ON_HANDLERS = {
    "depends": "depends",
    "retryPolicy": "retry_policy",
    "repeatPolicy": "repeat_policy",
    "continueOn": "continue_on",
}


def read_handlers(fields: Fields, defaults: DagDefaults, of_base: DagDefaults) -> dict[Handler, Step]:
    """Read ``handlerOn``: one step for each handler, named after it. ``of_base``: for handlers of the base."""
    inner = fields.mapping("handlerOn", _HANDLERS)
    if inner is None:
        return {}
    if inner.get("abort") is not None and inner.get("cancel") is not None:
        inner.error("cancel", "cannot specify both 'abort' and 'cancel' in handlerOn")
    found: dict[Handler, Step] = {}
    for key, handler in _HANDLER_OF.items():
        value = inner.get(key)
        if value is None:
            continue
        if not isinstance(value, YamlMap):
            inner.error(key, "invalid step data", hint="a handler is a map, for instance {command: ./clean.sh}")
            continue
        used = of_base if isinstance(value.at, PlaceInBase) else defaults
        partial = read_step(Fields(fields.issues, value, inner.sub(key), STEP_KEYS), used)
        for name, attribute in _IGNORED_ON_HANDLERS.items():
            if partial.values.pop(attribute, None):
                partial.fields.warn(name, f"{name} is ignored on a handler")
        partial.values["name"] = handler.value
        step = Step(**partial.values)
        if has_nothing_to_run(partial, step):
            inner.warn(key, "the handler is ignored: it has no command")
            continue
        check_step(partial, step, used)
        if step.type == APPROVAL:
            inner.error(key, "a handler cannot wait for approval")
        if step.pool or step.lock or step.rate_limit:
            inner.error(key, "a handler cannot wait for a pool, lock or rate limit", hint="set it on a step instead")
        found[handler] = step
    return found
