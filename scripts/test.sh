#!/usr/bin/env bash
# Check the code with ruff and mypy and run all tests, or only pytest with your arguments:
#   bash scripts/test.sh
#   bash scripts/test.sh -k memory
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh
prepare_environment dev

if [ $# -eq 0 ]; then
    ruff check .
    ruff format --check .
    mypy
    # Neighbours share fixtures: each process takes a half, and then from the other's.
    set -- -n "$(nproc)" --dist worksteal
fi
# One thread per test process, because the processes share the cores.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
python -m pytest "$@"
