#!/usr/bin/env bash
# Build the documentation in site/; warnings are errors. To edit it: mkdocs serve.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh
prepare_environment docs
mkdocs build --strict "$@"
