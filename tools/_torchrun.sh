#!/usr/bin/env bash
# What dist_train.sh and dist_test.sh share: _torchrun.sh GPUS SCRIPT ARGUMENTS
set -eu
TOOLS=$(cd "$(dirname "$0")" && pwd)
GPUS=$1 SCRIPT=$2
shift 2
if [ "${NNODES:-1}" = 1 ] && [ -z "${PORT:-}${MASTER_PORT:-}" ]; then
    where=(--standalone)  # a free port, so that two runs on one machine do not meet
else
    # Machines must agree on the port: without PORT it is one of the Slurm job, if that is what runs.
    where=(--nnodes "${NNODES:-1}" --node_rank "${NODE_RANK:-0}"
        --master_addr "${MASTER_ADDR:-127.0.0.1}"
        --master_port "${PORT:-${MASTER_PORT:-$((10000 + ${SLURM_JOB_ID:-19500} % 20000))}}")
fi
PYTHONPATH=$TOOLS/..${PYTHONPATH:+:$PYTHONPATH} exec "${PYTHON:-python}" -m torch.distributed.run \
    "${where[@]}" --nproc_per_node "$GPUS" "$TOOLS/$SCRIPT" "$@" --launcher pytorch
