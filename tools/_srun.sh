#!/usr/bin/env bash
# What slurm_train.sh and slurm_test.sh share: _srun.sh PARTITION JOB_NAME SCRIPT ARGUMENTS
# SIGUSR1 comes SIGNAL_SECONDS (120) before the time limit, so that a training keeps what it has done;
# in a batch job, whose time limit is not srun's, where that has #SBATCH --signal=USR1@120.
# With REQUEUE=1 a batch job whose run says "try again later" (75) is put into the queue again.
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
[ "$SCRIPT" != train.py ] || [ -n "${SLURM_JOB_ID:-}" ] || where+=(--signal "USR1@${SIGNAL_SECONDS:-120}")
# 10: eight workers of the training loader, the process itself and what it writes meanwhile.
# SRUN_ARGS is a list of words.
# shellcheck disable=SC2206
command=(srun -p "$PARTITION" --job-name "$JOB_NAME" "${where[@]}"
    --cpus-per-task "${CPUS_PER_TASK:-10}" --kill-on-bad-exit=1 ${SRUN_ARGS:-}
    "${PYTHON:-python}" -u "$TOOLS/$SCRIPT" "$@" --launcher slurm)
export PYTHONPATH=$TOOLS/..${PYTHONPATH:+:$PYTHONPATH}
[ -n "${REQUEUE:-}" ] && [ -n "${SLURM_JOB_ID:-}" ] || exec "${command[@]}"
trap : TERM USR1  # srun gets them, too; what it says of them is waited for
status=0
"${command[@]}" || status=$?
[ "$status" != 75 ] || scontrol requeue "$SLURM_JOB_ID"
exit "$status"
