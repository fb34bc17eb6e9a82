"""What each test of the gateway's functions begins with."""

import pytest

from services.api.requests import workspace_names
from shared.workspaces import DEFAULT


@pytest.fixture(autouse=True)
def _default_workspace() -> None:
    """A request that an earlier test made in this thread may have left its workspace, as in a gateway."""
    workspace_names.begin(DEFAULT)
