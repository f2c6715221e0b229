#!/usr/bin/env bash
# Check the code (ruff, mypy) and run the tests; arguments go to pytest:
#   bash scripts/test.sh            everything
#   bash scripts/test.sh -k memory  some tests
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh
prepare_environment dev

if [ $# -eq 0 ]; then
    ruff check .
    ruff format --check .
    mypy
    set -- -n "$(nproc)"
fi
# One thread per test process: they share the cores.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
python -m pytest "$@"
