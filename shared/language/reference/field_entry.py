"""What the language reference says about one field."""

from typing import NamedTuple

__all__ = ["FieldEntry"]


class FieldEntry(NamedTuple):
    """``means``: one sentence about what the field does. ``example``: the field in a workflow, without its parents.

    ``default`` and ``kind`` (the type) are set only where the JSON Schema and the model do not say them. ``own``: Dagu
    does not have the field. ``alias``: the field that this one is another name of, with the same fields below it.
    """

    means: str
    example: str
    default: str = ""
    kind: str = ""
    own: bool = False
    alias: str = ""
