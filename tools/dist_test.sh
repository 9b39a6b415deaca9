#!/usr/bin/env bash
# Several GPUs (or processes): tools/dist_test.sh CONFIG CHECKPOINT GPUS [OPTIONS]
# Several machines: NNODES, NODE_RANK, MASTER_ADDR and PORT, the same command on each.
set -eu
[ $# -ge 3 ] || { sed -n '2,3s/^# //p' "$0" >&2; exit 2; }
CONFIG=$1 CHECKPOINT=$2 GPUS=$3
shift 3
exec "$(dirname "$0")/_torchrun.sh" "$GPUS" test.py "$CONFIG" "$CHECKPOINT" "$@"
