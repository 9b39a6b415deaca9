#!/usr/bin/env bash
# What slurm_train.sh and slurm_test.sh share: _srun.sh PARTITION JOB_NAME SCRIPT ARGUMENTS
set -eu
TOOLS=$(cd "$(dirname "$0")" && pwd)
PARTITION=$1 JOB_NAME=$2 SCRIPT=$3
shift 3
GPUS=${GPUS:-8}
PER_NODE=${GPUS_PER_NODE:-8}
where=(--ntasks "$GPUS")
if [ "$PER_NODE" -gt 0 ]; then
    [ "$GPUS" -ge "$PER_NODE" ] || PER_NODE=$GPUS
    where+=(--ntasks-per-node "$PER_NODE" --gres "gpu:$PER_NODE")
fi
# 10: eight workers of the training loader, the process itself and what it writes meanwhile.
# SRUN_ARGS is a list of words.
# shellcheck disable=SC2086
PYTHONPATH=$TOOLS/..${PYTHONPATH:+:$PYTHONPATH} exec srun -p "$PARTITION" \
    --job-name "$JOB_NAME" "${where[@]}" --cpus-per-task "${CPUS_PER_TASK:-10}" \
    --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
    "${PYTHON:-python}" -u "$TOOLS/$SCRIPT" "$@" --launcher slurm
