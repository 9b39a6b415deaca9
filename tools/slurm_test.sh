#!/usr/bin/env bash
# On a Slurm cluster: tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [OPTIONS]
# GPUS (8 in all), GPUS_PER_NODE (8; 0: on CPUs), CPUS_PER_TASK (10) and SRUN_ARGS are read, too.
set -eu
[ $# -ge 4 ] || { sed -n '2,3s/^# //p' "$0" >&2; exit 2; }
PARTITION=$1 JOB_NAME=$2 CONFIG=$3 CHECKPOINT=$4
shift 4
exec "$(dirname "$0")/_srun.sh" "$PARTITION" "$JOB_NAME" test.py "$CONFIG" "$CHECKPOINT" "$@"
