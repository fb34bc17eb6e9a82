"""The values that a prepare attempt evaluated, as its report of the end has them among its ``outputs``."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from shared.errors import DecodeFailed
from shared.language.model import Pairs

__all__ = ["PreparedValues"]

_PAIRS = TypeAdapter(Pairs)


@dataclass(frozen=True, slots=True)
class PreparedValues:
    """The evaluated ``env`` and ``params`` of a run, and the JSON text of the params, if there is one."""

    env: Pairs
    params: Pairs
    params_json: str | None

    def to_outputs(self) -> dict[str, str]:
        """Return them as outputs: ``env`` and ``params`` are JSON lists of (name, value) pairs."""
        outputs = {"env": json.dumps(self.env), "params": json.dumps(self.params)}
        return outputs if self.params_json is None else {**outputs, "params_json": self.params_json}

    @classmethod
    def from_outputs(cls, outputs: Mapping[str, str]) -> "PreparedValues | None":
        """Return the values in a report, or ``None`` if the attempt ended before it had them.

        Raises ``DecodeFailed`` if they are no pairs of texts.
        """
        if "env" not in outputs:
            return None
        return cls(_pairs(outputs, "env"), _pairs(outputs, "params"), outputs.get("params_json"))


def _pairs(outputs: Mapping[str, str], name: str) -> Pairs:
    try:
        return _PAIRS.validate_json(outputs.get(name, ""))
    except ValidationError as error:
        raise DecodeFailed(f"the output {name} of a prepare attempt is no JSON list of pairs of texts") from error
