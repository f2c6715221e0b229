"""Programs of the repository, run as a user runs them."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.conftest import REPOSITORY


def run_python(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run Python with ``arguments`` in the repository; the caller looks at status and output."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
