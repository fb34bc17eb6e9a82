"""How many files a worker may open."""

import subprocess
import sys

_START = """
import resource
from services.worker.process.privileges import start_guardian
from shared.settings.config import load_config
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
guardian = start_guardian(load_config({}, {}, terminal=False))
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 100, resource.prlimit(guardian.pid, resource.RLIMIT_NOFILE)[0])
"""


def test_a_worker_uses_the_files_that_it_may_open_and_leaves_the_limit_of_steps_alone() -> None:
    """Many systems have a low limit that each process may raise for itself: 256 on macOS."""
    ended = subprocess.run([sys.executable, "-c", _START], check=True, capture_output=True, text=True)

    assert ended.stdout.split() == ["True", "100"]
