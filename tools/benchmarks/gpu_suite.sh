#!/usr/bin/env bash
# Everything that needs a GPU, within ten minutes:
#   [WHEELS=folder] tools/benchmarks/gpu_suite.sh [--dry] [OPTIONS]
# WHEELS: for a machine without a network, wheels, or a tar file of installed packages in their place,
# used for this run alone; see docs/performance.md.
set -eu
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
PYTHON=${PYTHON:-python}
path=$ROOT
if [ -n "${WHEELS:-}" ]; then
    packages=$(mktemp -d)
    trap 'rm -rf "$packages"' EXIT
    if [ -f "$WHEELS" ]; then
        tar -xf "$WHEELS" -C "$packages"
    else  # without what they depend on: torch, numpy and the like are the machine's own
        "$PYTHON" -m pip install --quiet --no-index --no-deps --target "$packages" "$WHEELS"/*.whl
    fi
    path=$ROOT:$packages
fi
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-PASSIVE}
# Parts are written as they end, so that little is lost where one hangs.
PYTHONPATH=$path${PYTHONPATH:+:$PYTHONPATH} timeout 600 "$PYTHON" "$ROOT/tools/benchmarks/gpu_suite.py" "$@"
