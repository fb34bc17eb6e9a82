"""Read ``env`` and ``dotenv``. Every form of ``env`` becomes (name, value) pairs in document order, unexpanded.

A value that is a list or a map becomes compact JSON.
"""

from typing import Any

from shared.language.expansion.params_syntax import json_scalar_text
from shared.language.model import Pairs
from shared.language.yaml.fields import Fields, is_scalar, plain, scalar_text, type_name
from shared.language.yaml.reader import YamlMap

__all__ = ["DEFAULT_DOTENV", "read_dotenv", "read_env"]

DEFAULT_DOTENV = (".env",)

_FORMS = "env config should be map of strings or array of key=value formatted string"


def read_env(fields: Fields) -> Pairs:
    """Read ``env``: a map, or a list whose items are maps or ``K=V`` texts. Return names and values in order."""
    value = fields.get("env")
    if value is None:
        return ()
    pairs: list[tuple[str, str]] = []
    if isinstance(value, YamlMap):
        _add_map(fields, fields.sub("env"), value, pairs)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            path = f"{fields.sub('env')}[{index}]"
            if isinstance(item, YamlMap):
                _add_map(fields, path, item, pairs)
            elif isinstance(item, str):
                key, equals, text = item.partition("=")
                if equals and key.strip():
                    pairs.append((key.strip(), text))
                else:
                    message = f'invalid format "{item}" (expected KEY=value)'
                    fields.issues.error(message, path, fields.get("env").item_at[index])
            else:
                fields.issues.error(f"{_FORMS}: {_shown(item)}", path, fields.get("env").item_at[index])
    else:
        fields.error("env", f"{_FORMS}: {_shown(value)}")
    return tuple(pairs)


def _add_map(fields: Fields, path: str, mapping: YamlMap, pairs: list[tuple[str, str]]) -> None:
    for key, value in mapping.items():
        if not key.strip():
            fields.issues.error("the name of the variable is empty", path, mapping.key_at[key])
        else:
            pairs.append((key.strip(), json_scalar_text(plain(value))))


def _shown(value: Any) -> str:
    return scalar_text(value) if is_scalar(value) else f"a {type_name(value)}"


def read_dotenv(fields: Fields) -> tuple[str, ...]:
    """Return the dotenv files to look for, in order: ``.env`` and the listed ones.

    Return none if the field is ``[]``, and ``.env`` alone if it is absent.
    """
    if fields.get("dotenv") is None:
        return DEFAULT_DOTENV
    if fields.get("dotenv") == []:
        return ()
    listed = [path.strip() for path in fields.texts("dotenv") if path.strip()]
    return tuple(dict.fromkeys([*DEFAULT_DOTENV, *listed]))
