#!/usr/bin/env bash
# On a Slurm cluster: tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [OPTIONS]
# GPUS (8 in all), GPUS_PER_NODE (8; 0: on CPUs), CPUS_PER_TASK (10), SIGNAL_SECONDS (120, before the
# time limit; a batch job needs #SBATCH --signal=USR1@120 for that), REQUEUE (1: a batch job that ran
# out of time is queued again) and SRUN_ARGS are read.
set -eu
[ $# -ge 4 ] || { sed -n '2,5s/^# //p' "$0" >&2; exit 2; }
PARTITION=$1 JOB_NAME=$2 CONFIG=$3 WORK_DIR=$4
shift 4
exec "$(dirname "$0")/_srun.sh" "$PARTITION" "$JOB_NAME" train.py "$CONFIG" \
    --work-dir "$WORK_DIR" "$@"
