"""Read ``llm`` and ``messages``: the language model and the messages of chat steps."""

from typing import Any

from shared.language.yaml.fields import Fields, Vocabulary, plain
from shared.language.yaml.reader import YamlList, YamlMap

__all__ = ["LLM_KEYS", "check_chat", "read_llm", "read_messages"]

LLM_KEYS = Vocabulary(
    "provider", "model", "system", "temperature", "maxTokens", "topP", "baseURL", "apiKeyName", "stream", "thinking"
)
_THINKING = Vocabulary("enabled", "effort", "budgetTokens", "includeInOutput")
_MESSAGE = Vocabulary("role", "content")
_PROVIDERS = ("openai", "anthropic", "gemini", "openrouter", "local", "ollama", "vllm", "llama")
_ROLES = ("system", "user", "assistant", "tool")
_EFFORTS = ("low", "medium", "high", "xhigh")


def read_llm(fields: Fields) -> dict[str, Any] | None:
    """Read ``llm``. Return the settings under the same keys as in the YAML, without defaults."""
    inner = fields.mapping("llm", LLM_KEYS)
    if inner is None:
        return None
    inner.choice("provider", _PROVIDERS)
    for name in ("model", "system", "baseURL", "apiKeyName"):
        inner.text(name)
    inner.number("temperature", minimum=0, maximum=2)
    inner.number("topP", minimum=0, maximum=1)
    inner.integer("maxTokens", 1, minimum=1)
    inner.boolean("stream", True)
    thinking = inner.mapping("thinking", _THINKING)
    if thinking is not None:
        thinking.boolean("enabled")
        thinking.choice("effort", _EFFORTS)
        thinking.integer("budgetTokens", minimum=0)
        thinking.boolean("includeInOutput")
    return dict(plain(inner.raw))


def read_messages(fields: Fields) -> tuple[dict[str, str], ...]:
    """Read ``messages`` of a chat step."""
    value = fields.get("messages")
    if value is None:
        return ()
    if not isinstance(value, YamlList):
        fields.wrong_type("messages", "a list", value)
        return ()
    found: list[dict[str, str]] = []
    for index, item in enumerate(value):
        path = f"{fields.sub('messages')}[{index}]"
        if not isinstance(item, YamlMap):
            fields.issues.error("a message must be a map with role and content", path, value.item_at[index])
            continue
        inner = Fields(fields.issues, item, path, _MESSAGE)
        role = inner.choice("role", _ROLES)
        content = inner.text("content", strip=False)
        for name, text in (("role", role), ("content", content)):
            if not text and inner.get(name) in (None, ""):
                inner.error(name, f"message {name} is required")
        found.append({"role": role, "content": content})
    return tuple(found)


def check_chat(fields: Fields, llm: dict[str, Any] | None, messages: tuple[dict[str, str], ...]) -> None:
    """Report required fields that a chat step lacks. ``llm`` is the ``llm`` of the step, else of the dag."""
    if not llm:
        # No error, as in Dagu: the base configuration may have it, which is not known where a DAG is stored.
        fields.warn("llm", "a chat step needs llm: in the step, in the workflow or in the base configuration")
    else:
        for name in ("provider", "model"):
            if not llm.get(name):
                fields.error("llm", f"{name} is required")
    if not messages and not fields.get("messages"):
        fields.error("messages", "at least one message is required")
