"""The type of a command handler.

A handler carries out one command in the transaction of ``batch`` and returns the ``result`` of its reply. To refuse
the command it raises ``InvalidInput``, ``NotFound``, ``Conflict`` or ``RefusedByCore``, before it changes anything.
"""

from collections.abc import Callable, Mapping
from typing import Any

from services.scheduler.deciding.batch import Batch
from shared.contracts.commands import Command

__all__ = ["Handlers"]

Handlers = Mapping[type[Command], Callable[[Batch, Any], dict[str, Any]]]
