#!/bin/sh
# What docs/runtime.md says of the processor, measured anew, on a machine that does nothing else:
#
#     sh scripts/benchmarks/study_cpu.sh docs/measured && python scripts/runtime_tables.py
#
# PLACES names the command, BATCH the pictures of a larger batch, RUNS the turns, MAX_S the seconds
# after which no turn begins.
set -eu
folder=${1:?where to write to: sh scripts/benchmarks/study_cpu.sh FOLDER}
places=${PLACES:-places}
common="--accelerator cpu --train_batch_size ${BATCH:-8} --runs ${RUNS:-5} --turn_s 0.5 --max_s ${MAX_S:-1500}"
mkdir -p "$folder"

# The ways of running a network.
$places bench networks resnet50 vgg16_bn $common --batch_sizes "1,${BATCH:-8}" \
	--ways eager,channels_last,folded,folded+channels_last,folded+compiled,bf16+channels_last,onnxruntime,openvino,openvino+bf16 \
	--file "$folder/ways-cpu.json"
# The networks: ResNet, VGG and their variants.
$places bench networks resnet18 resnet50 resnet50d resnetblur50 seresnet50 vgg16 vgg16_bn \
	vgg16_bn_gap repvgg_a0 repvgg_b0 $common --batch_sizes "${BATCH:-8}" \
	--ways eager,channels_last,folded+channels_last --file "$folder/variants-cpu.json"
