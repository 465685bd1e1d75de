"""The losses of the first steps of the demo recipe, which must not change unnoticed.

Where they are meant to change, write the file anew:  python tests/integration/test_golden_curve.py

The recipe trains the small network of the tests for 30 steps: with any instruction set of the
processor its losses are the same to 1e-6. Those of ResNet-18 differ by 1e-6, 4e-4 and 2e-2 in its
first three steps, so much does training it amplify rounding: only the first two are compared.
"""

import csv
import os
import sys
import tempfile
from pathlib import Path

import pytest

TOLERANCE = 1e-3
FILE = Path(__file__).with_name("golden_curve.csv")
CURVES = {"tiny": 30, "tiny_raw": 30, "resnet18": 2}  # number of steps
_TINY = ["--model.net", "tests.networks.Tiny"]
_NETWORKS = {"tiny": _TINY, "tiny_raw": _TINY, "resnet18": []}  # the recipe's own
_SAMPLE = ["--num_train", "96", "--num_val", "36", "--num_test", "26"]  # as in conftest.py


def train(curve: str, sample: Path, root: Path) -> list[float]:
    """Return the losses of the first steps of `places fit --config demo.yaml`.

    Args:
        curve: The network, a name of `CURVES`.
        sample: The packed sample, of 3 steps in an epoch.
        root: Folder for the run.
    """
    from places.cli.main import main

    options = {
        "data.root": sample,
        "trainer.default_root_dir": root,
        "trainer.accelerator": "cpu",
        "trainer.max_epochs": 10,
        "trainer.log_every_n_steps": 1,
        "trainer.limit_val_batches": 0,
        "trainer.deterministic": "true",
        "trainer.enable_progress_bar": "false",
        "trainer.enable_model_summary": "false",
        "trainer.max_steps": CURVES[curve],
    }
    words = [f"--{name}={value}" for name, value in options.items()]
    assert main(["fit", "--config", "demo.yaml", *_NETWORKS[curve], *words]) == 0
    with (root / "demo" / "0" / "metrics.csv").open(encoding="utf-8", newline="") as file:
        losses = [row["train/loss"] for row in csv.DictReader(file) if row["train/loss"]]
    assert len(losses) == CURVES[curve]
    return [float(loss) for loss in losses]


def read_golden(curve: str) -> list[float]:
    """Return the losses that are in the file."""
    with FILE.open(encoding="utf-8", newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file) if row["curve"] == curve]


@pytest.mark.slow
@pytest.mark.parametrize("curve", CURVES)
def test_losses_are_those_of_the_golden_curve(
    curve: str, sample: Path, raw_sample: Path, tmp_path: Path
) -> None:
    losses = train(curve, raw_sample if "raw" in curve else sample, tmp_path / "runs")
    assert losses == pytest.approx(read_golden(curve), abs=TOLERANCE)


def _write_golden() -> None:
    from places.cli.main import main

    lines = ["curve,step,loss"]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        if main(["sample", "--root", "sample", *_SAMPLE]):
            sys.exit("no sample was drawn")
        archives = map(str, sorted(Path("sample/archives").glob("*.tar")))
        if main(["pack", *archives, "--root", "raw", "--pixels", "raw"]):
            sys.exit("nothing was packed")
        for curve in CURVES:
            losses = train(curve, Path("raw" if "raw" in curve else "sample"), Path(curve))
            lines += [f"{curve},{step},{loss:.6f}" for step, loss in enumerate(losses)]
    FILE.write_text("\n".join([*lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # for tests.networks
    FILE = FILE.resolve()
    _write_golden()
    print(f"written: {FILE}")
