#!/usr/bin/env bash
# Several GPUs (or, without a GPU, several processes): tools/dist_train.sh CONFIG GPUS [OPTIONS]
# With --max-restarts N a run whose process fails goes on from its newest checkpoint, N times.
# Several machines: NNODES, NODE_RANK, MASTER_ADDR and PORT, the same command on each. One that was
# lost is started again with --resume; with --max-restarts the others wait for it.
set -eu
[ $# -ge 2 ] || { sed -n '2,5s/^# //p' "$0" >&2; exit 2; }
CONFIG=$1 GPUS=$2
shift 2
exec "$(dirname "$0")/_torchrun.sh" "$GPUS" train.py "$CONFIG" "$@"
