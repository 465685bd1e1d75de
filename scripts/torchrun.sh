#!/usr/bin/env bash
# Run a `places` command with one process per GPU, on one node or several.
#
#   scripts/torchrun.sh fit --config resnet50.yaml --data.root data/places
#
# Several nodes: the same line on each, with
#   NUM_NODES=2 NODE=0 HEAD=10.0.0.1 scripts/torchrun.sh fit ...      (NODE=1 on the second)
# PROCESSES=4 sets the number of processes on a node; it is the number of its GPUs by default.
# If one process dies, all end; go on with  --ckpt_path runs/<recipe>/<number>/checkpoints/last.ckpt
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

exec "$bin/python" -m torch.distributed.run --nnodes="$nodes" --nproc-per-node="$processes" \
    "${where[@]}" "$bin/places" "$@" "${flags[@]}"
