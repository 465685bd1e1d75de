"""`places bench networks`: what networks cost in training and inference, and where it goes."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from rich.box import SIMPLE_HEAD
from rich.table import Table

from places.bench.receipt import receipt
from places.bench.study.choice import check_choices, find_network, numbers_of, words_of
from places.bench.study.energy import energy_meter
from places.bench.study.plan import Plan
from places.bench.study.roofline import measure_roofline
from places.bench.study.study import measure, num_steps
from places.bench.study.ways import DEFAULT_WAYS, WORKS, Work, way_of
from places.config.ranges import check_range
from places.console import progress, put, say
from places.errors import ConfigError
from places.files import check_writable, picture_beside
from places.reports.figures import save_figure
from places.reports.networks_file import FORMAT, VERSION, write_networks
from places.reports.networks_section import TextTable, networks_section

_DEFAULT_NETWORKS = ("resnet50", "vgg16")


def bench_networks(
    networks: Sequence[str] = (),
    ways: str | None = None,
    work: str = "inference,training",
    batch_sizes: str = "1,8,32",
    train_batch_size: int = 32,
    image_size: int = 224,
    num_classes: int = 365,
    runs: int = 5,
    turn_s: float = 1.0,
    accelerator: Literal["auto", "cpu", "gpu"] = "auto",
    num_threads: int | None = None,
    max_s: float | None = None,
    memory: bool = True,
    file: Path | None = None,
    figure: Path | None = None,
    traces: Path | None = None,
) -> int:
    """Measure what networks cost in training and inference, in several ways, and where it goes.

    Pictures are noise that lies in memory already, weights are random: nothing here depends on
    either. Everything that is compared is timed in turns with everything else, after a warm-up; so
    all of it has to fit into memory together. Shown are medians over the turns with quartiles.

    Ways are made of parts, joined by +:

      eager          as PyTorch runs it, with no part done
      folded         batch norms and branches folded into convolutions (inference only)
      channels_last  the channels of a pixel beside each other in memory
      bf16           weights and pictures of 16 bits; in training under autocast
      compiled       torch.compile
      cuda_graph     all kernels of a batch started together (inference on a GPU only)
      onnxruntime    ONNX Runtime on the CPU, if it is installed (inference only)
      openvino       OpenVINO on the CPU, if it is installed (inference only)

    A network that cannot be run in some way is a row with the reason.

    Args:
        networks: Names such as resnet50 (`places models` lists them), or class paths such as
            torchvision.models.convnext_tiny, also with arguments:
            "places.models.ResNet(depth=18)". Without any: resnet50 and vgg16.
        ways: Ways of running them, with commas between; null takes those that make sense on the
            device.
        work: inference, training, or both with a comma between.
        batch_sizes: Pictures per batch in inference, several with commas between.
        train_batch_size: Pictures per training step.
        image_size: Height and width of the pictures in pixels.
        num_classes: Width of the last layer.
        runs: Turns.
        turn_s: How long to run each candidate in each turn, in seconds; at least one batch.
        accelerator: Where to run; "auto" takes a GPU if there is one.
        num_threads: Threads on the CPU; null takes what PyTorch takes.
        max_s: Begin no turn after so many seconds. What is not ready after 70 % of them is left
            out, and no memory is measured after 30 %. Null sets no limit.
        memory: Measure peak memory. On the CPU each candidate is then run once more, in a process
            of its own.
        file: JSON file for everything that was measured; `places report` shows it as well.
        figure: PNG file for pictures per second against parameters; null takes the name of `file`.
        traces: Folder for one trace of each network and kind of work, for chrome://tracing.

    Returns:
        The exit status: 0, or 1 if nothing at all could be measured.

    Raises:
        ConfigError: A network, a way or a number is not one that can be measured.
        StorageError: A file cannot be written.
    """
    device = _device(accelerator)
    check_range("train_batch_size", train_batch_size, 1, 1 << 16)
    check_range("image_size", image_size, 1, 1 << 12)
    check_range("num_classes", num_classes, 1, 1 << 20)
    check_range("runs", runs, 1, 10_000)
    check_range("turn_s", turn_s, 0, 3600)
    check_range("max_s", max_s, 1)
    check_range("num_threads", num_threads, 1, 4096)
    check_choices("networks", networks)
    works: list[Work] = [x for x in WORKS if x in words_of("work", work, WORKS)]
    plan = Plan(
        networks=[find_network(text) for text in networks or _DEFAULT_NETWORKS],
        ways=[way_of(text) for text in words_of("ways", ways or DEFAULT_WAYS[device.type])],
        works=works,
        batch_sizes=numbers_of("batch_sizes", batch_sizes),
        train_batch_size=train_batch_size,
        image_size=image_size,
        num_classes=num_classes,
        runs=runs,
        turn_s=turn_s,
        device=device,
        memory=memory,
        traces=traces,
        max_s=math.inf if max_s is None else max_s,
    )
    if not plan.candidates():
        raise ConfigError(f"`ways` has none for {work}", "training takes eager, channels_last, ...")
    drawn = _picture(file, figure)
    threads_before = torch.get_num_threads()
    torch.set_num_threads(num_threads or threads_before)
    try:
        content = _measured(plan)
    finally:
        torch.set_num_threads(threads_before)
    section = networks_section(content)
    for table in section.tables:
        put(_as_rich(table))
    for fact in section.facts:
        put(fact)
    if file is not None:
        write_networks(file, content)
        say(f"wrote {file}")
    if drawn is not None and section.figure is not None:
        save_figure(section.figure, drawn)
        say(f"wrote {drawn}")
    return 0 if any(row["images_per_s"] for row in content["rows"]) else 1


def _device(accelerator: str) -> torch.device:
    has_gpu = torch.cuda.is_available()
    if accelerator == "gpu" and not has_gpu:
        raise ConfigError(
            "there is no GPU here that PyTorch can use",
            "measure the processor:  --accelerator cpu",
        )
    return torch.device("cuda" if has_gpu and accelerator != "cpu" else "cpu")


def _picture(file: Path | None, figure: Path | None) -> Path | None:
    """Return where the picture goes, if there is one; both files are tried now, not at the end."""
    picture = figure or (picture_beside(file) if file is not None else None)
    if file is not None and picture == file:
        raise ConfigError(f"`file` and `figure` are both {file}", "give each a name of its own")
    for path in (file, picture):
        if path is not None:
            check_writable(path)
    return picture


def _measured(plan: Plan) -> dict[str, Any]:
    """Measure, and return the content of the file, see `networks.schema.json`."""
    facts = receipt(plan.device)
    with progress("measuring", num_steps(plan) + 1, "parts") as counter:
        counter.describe("roofline")
        roofline = measure_roofline(plan.device)
        counter.advance(1)
        meter, energy = energy_meter(plan.device)
        networks, rows = measure(plan, roofline, meter, counter)
    return {
        "format": FORMAT,
        "version": VERSION,
        **facts,
        "hardware": {
            **facts["hardware"],
            "num_threads": torch.get_num_threads(),
            "energy": energy,
            "float32_matmul_precision": torch.get_float32_matmul_precision(),
        },
        "settings": {
            "image_size": plan.image_size,
            "num_classes": plan.num_classes,
            "runs": plan.runs,
            "turn_s": plan.turn_s,
        },
        "roofline": {"flops_per_s": roofline.flops_per_s, "bytes_per_s": roofline.bytes_per_s},
        "networks": networks,
        "rows": rows,
    }


def _as_rich(table: TextTable) -> Table:
    drawn = Table(title=table.title, title_justify="left", box=SIMPLE_HEAD)
    for number, column in enumerate(table.columns):
        drawn.add_column(column, justify="right" if number in table.numbers else "left")
    for row in table.rows:
        drawn.add_row(*row)
    return drawn
