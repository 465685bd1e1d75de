#!/usr/bin/env bash
# Run a `places` command with one process per GPU, on one node or several.
#
#   scripts/torchrun.sh fit --config resnet50.yaml --data.root data/places
#
# Several nodes: the same line on each, with
#   NUM_NODES=2 NODE=0 HEAD=10.0.0.1 scripts/torchrun.sh fit ...      (NODE=1 on the second)
# PROCESSES=4 sets the number of processes on a node; it is the number of its GPUs by default.
# If one process dies, all end; resume with  --ckpt_path last
# SIGTERM and SIGUSR1 are passed on to the processes: `fit` saves its state, and the exit status is
# 143 or 138.
set -euo pipefail

processes=${PROCESSES:-gpu}
nodes=${NUM_NODES:-1}
bin=${BIN:-.venv/bin}

if [[ $# -eq 0 || $1 == --help ]]; then
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
    exit 0
fi

if ((nodes == 1)); then
    where=(--standalone)
else
    : "${HEAD:?name the host or address of the first node: HEAD=...}"
    where=(--node-rank="${NODE:?number this node from 0: NODE=...}"
        --master-addr="$HEAD" --master-port="${PORT:-29500}")
fi

# Lightning wants to be told what torchrun knows already.
flags=(--trainer.num_nodes "$nodes")
if [[ $processes != gpu ]]; then
    flags+=(--trainer.devices "$processes")
fi

# torchrun ends with status 1 whatever its processes end with, and lets them 30 s after a signal. So
# the signals go to its processes, and torchrun sees them end.
status=
pass_on() {
    status=$((128 + $2))
    pkill "-$1" -P "$torchrun" || kill -s "$1" "$torchrun" 2>/dev/null || true
}
trap 'pass_on TERM 15' TERM
trap 'pass_on USR1 10' USR1

(
    # SLURM sends SIGUSR1 to every process of a step, and torchrun would die of it.
    trap '' USR1
    exec "$bin/python" -m torch.distributed.run --nnodes="$nodes" --nproc-per-node="$processes" \
        "${where[@]}" "$bin/places" "$@" "${flags[@]}"
) &
torchrun=$!
ended=0
wait "$torchrun" || ended=$?
# A signal ends `wait`, not torchrun.
while kill -0 "$torchrun" 2>/dev/null; do
    ended=0
    wait "$torchrun" || ended=$?
done
if ((ended == 0)); then
    exit 0
fi
exit "${status:-$ended}"
