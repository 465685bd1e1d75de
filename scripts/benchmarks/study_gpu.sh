#!/bin/sh
# The tests that need a GPU, then what networks cost on it, about seven minutes:
#
#     sh scripts/benchmarks/study_gpu.sh FOLDER
#
# Writes into FOLDER: gpu-tests.txt; training-gpu.json, inference-gpu.json and compiled-gpu.json,
# each with its picture; traces. What is not ready in time is left out, and a row says so. Needs no
# internet. PYTHON names the interpreter. `pip install nvidia-ml-py` lets it measure energy, too.
set -u
folder=${1:?where to write to: sh scripts/benchmarks/study_gpu.sh FOLDER}
python=${PYTHON:-python3}
root=$(cd "$(dirname "$0")/../.." && pwd)
export PYTHONPATH="$root/src:$root${PYTHONPATH:+:$PYTHONPATH}"
mkdir -p "$folder" || exit 2
folder=$(cd "$folder" && pwd)
cd "$root" || exit 2

bench() {
	name=$1
	shift
	timeout -k 5 "$1" "$python" -m places bench networks --accelerator gpu --file "$folder/$name.json" \
		--max_s "$2" --turn_s 0.2 $3 2>"$folder/$name.log" >"$folder/$name.txt"
	echo "$name: exit status $?"
}

{
	nvidia-smi --query-gpu=name,driver_version,power.limit --format=csv,noheader
	"$python" -c 'import torch; print("torch", torch.__version__, torch.version.cuda)'
} 2>&1 | tee "$folder/machine.txt"

# Only the files that have such tests: collecting all of them would take longer than running these.
timeout -k 5 60 "$python" -m pytest -m gpu -q -rs -p no:cacheprovider \
	$(grep -rl 'mark\.gpu' tests --include='test_*.py') >"$folder/gpu-tests.txt" 2>&1
echo "tests: exit status $?"
tail -n 3 "$folder/gpu-tests.txt"

# The most wanted first: the last ones are left out where time is short.
networks="resnet50 vgg16_bn repvgg_a0 vgg16_bn_gap resnet50d resnet18 repvgg_b0"
bench training-gpu 190 150 "$networks --work training --train_batch_size 128 --runs 3
	--traces $folder/traces --ways eager,channels_last,bf16+channels_last"
bench inference-gpu 190 150 "$networks --work inference --batch_sizes 1,256 --runs 3 --ways
	eager,bf16+channels_last,folded+bf16+channels_last,folded+bf16+channels_last+cuda_graph"
bench compiled-gpu 110 70 "resnet50 vgg16_bn --batch_sizes 256 --train_batch_size 128 --runs 3
	--ways eager,bf16+channels_last,bf16+channels_last+compiled"
tail -n 4 "$folder"/*-gpu.log
# Traces are long; only a packed one is worth carrying home.
[ -d "$folder/traces" ] && gzip -f "$folder"/traces/*.json
ls -l "$folder"
