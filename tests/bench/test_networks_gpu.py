"""`places bench networks` on a GPU; never run where there is none."""

import json
from pathlib import Path

import pytest
import torch

from places.bench.study.energy import energy_meter
from places.bench.study.roofline import measure_roofline
from places.cli.main import main
from places.reports.networks_file import read_networks

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]
WAYS = ["eager", "bf16+channels_last", "folded+bf16+channels_last+cuda_graph", "onnxruntime"]


@pytest.mark.filterwarnings("ignore::UserWarning")  # of cuDNN, by release
def test_a_gpu_is_measured(tmp_path: Path) -> None:
    file = tmp_path / "n.json"
    words = ["--accelerator", "gpu", "--ways", ",".join(WAYS), "--batch_sizes", "1,64"]
    words += ["--train_batch_size", "64", "--image_size", "64", "--num_classes", "10"]
    words += ["--runs", "1", "--turn_s", "0.01", "--file", str(file)]
    words += ["--traces", str(tmp_path / "traces")]
    assert main(["bench", "networks", "tests.networks.Tiny(width=64)", *words]) == 0
    content = read_networks(file)
    assert content["hardware"]["device"] == torch.cuda.get_device_name(0)
    first_maps = 64 * 31 * 31 * 4  # bytes of what the first convolution makes of a picture
    for row in content["rows"]:
        if row["way"] == "onnxruntime":
            assert row["reason"] == "onnxruntime is measured on the CPU only"
            continue
        assert row["reason"] is None
        assert row["images_per_s"]["median"] > 0
        assert 0 < row["latency_ms"]["p50"] <= row["latency_ms"]["p99"]
        if row["way"] == "eager":
            assert row["peak_memory_bytes"] > row["batch_size"] * first_maps
        assert row["peak_memory_bytes"] > 0
        if row["work"] == "inference":
            # cuDNN rounds the factors of float32 to TF32 by default.
            assert row["logit_difference"] < (0.1 if "bf16" in row["way"] else 0.01)
    (network,) = content["networks"]
    for layers in network["layers"].values():
        assert sum(row["share"] for row in layers["rows"]) == pytest.approx(1)
        kinds = {row["kind"]: row for row in layers["rows"]}
        assert kinds["conv"]["time_ms"] > 0
    (trace,) = (tmp_path / "traces").glob("*-training.json")
    events = json.loads(trace.read_text())["traceEvents"]
    assert any(event.get("cat") == "kernel" for event in events)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_does_not_fit_into_the_gpu_is_a_row(tmp_path: Path) -> None:
    file = tmp_path / "n.json"
    size, limit_bytes = 512, 4e9  # these pictures alone take 6.4 GB; the roof takes 3 GB
    words = ["--accelerator", "gpu", "--ways", "eager", "--work", "inference", "--runs", "1"]
    words += ["--image_size", "1024"]
    words += ["--batch_sizes", f"1,{size}", "--turn_s", "0.01", "--file", str(file)]
    limit = torch.cuda.get_per_process_memory_fraction()
    whole_bytes = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(limit_bytes / whole_bytes)
    try:
        assert (
            main(["bench", "networks", "tests.networks.Tiny", "--accelerator", "gpu", *words]) == 0
        )
    finally:
        torch.cuda.set_per_process_memory_fraction(limit)
    small, large = read_networks(file)["rows"]
    assert small["images_per_s"]["median"] > 0
    assert "out of memory" in large["reason"]


def test_the_roof_of_a_gpu_is_above_any_processor() -> None:
    roofline = measure_roofline(torch.device("cuda"), size=4096, copy_bytes=1 << 28)
    assert roofline.flops_per_s["bfloat16"] > 1e12
    assert roofline.bytes_per_s > 1e11


def test_a_gpu_tells_its_energy_or_why_not() -> None:
    meter, source = energy_meter(torch.device("cuda"))
    if meter is None:
        assert source.startswith("unknown: ")
        return
    before = meter()
    square = torch.randn(8192, 8192, device="cuda")
    for _ in range(50):
        square @ square
    torch.cuda.synchronize()
    assert meter() >= before > 0
