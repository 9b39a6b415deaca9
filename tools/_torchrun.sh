#!/usr/bin/env bash
# What dist_train.sh and dist_test.sh share: _torchrun.sh GPUS SCRIPT ARGUMENTS
# Of the arguments, --max-restarts N is torchrun's, and on several machines also how often torchrun
# itself is started again: it ends on all of them when that of MASTER_ADDR is lost.
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
arguments=() restarts=0
while [ $# -gt 0 ]; do
    case $1 in
        --max-restarts) restarts=${2:?--max-restarts needs a number}; shift ;;
        --max-restarts=*) restarts=${1#*=} ;;
        *) arguments+=("$1") ;;
    esac
    shift
done
[ "$restarts" = 0 ] || where+=(--max_restarts "$restarts")
[ "${NNODES:-1}" != 1 ] || restarts=0  # torchrun's own are enough

# torchrun hands SIGTERM on to the processes of the run and waits for them for half a minute; other
# signals it does not know, or passes on with a status of its own. 75 says: try again later.
stopped=
stop() { [ -n "$stopped" ] || kill -TERM "$child" 2>/dev/null || true; stopped=1; }
trap stop TERM INT USR1 USR2
for ((count = 0; ; count++)); do
    export MULTISSL_RESTART_COUNT=$count
    set -m  # a process group of its own: Ctrl-C reaches it once, from here
    (
        trap '' USR1 USR2  # sent to all processes of a job, they would end torchrun alone
        PYTHONPATH=$TOOLS/..${PYTHONPATH:+:$PYTHONPATH} exec "${PYTHON:-python}" \
            -m torch.distributed.run "${where[@]}" --nproc_per_node "$GPUS" "$TOOLS/$SCRIPT" \
            "${arguments[@]}" --launcher pytorch
    ) </dev/null &
    child=$!
    set +m
    status=0
    wait "$child" || status=$?
    while kill -0 "$child" 2>/dev/null; do  # a signal has ended the wait
        status=0
        wait "$child" || status=$?
    done
    # Where machines meet may be lost with one of them. Who comes first waits for ten minutes.
    [ "$status" != 0 ] && [ -z "$stopped" ] && [ "$count" -lt "$restarts" ] || break
    echo "torchrun ended with $status; started again ($((count + 1)) of $restarts)" >&2
done
[ "$status" = 0 ] || [ -z "$stopped" ] || status=75
exit "$status"
