"""Pictures of every shape, names of every kind, and an output that fails: no row is lost."""

import csv
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from tests.integration.stages import run

ROOT = Path(__file__).parents[2]
WORDS = ["--random_weights", "--model.net=tests.networks.Tiny", "--data.image_size=32"]
SIZES = {
    "1x1.gif": (1, 1),
    "1x4000.png": (1, 4000),
    "1x40000.png": (1, 40_000),
    "40000x1.png": (40_000, 1),
    "1x5000.jpg": (1, 5000),
    "40000x30.jpg": (40_000, 30),
    "2x16000.webp": (2, 16_000),
    "30x40000.tif": (30, 40_000),
}


def _rows() -> dict[str, dict[str, str]]:
    (file,) = Path("runs").rglob("predictions.csv")
    with file.open(encoding="utf-8", newline="") as opened:
        return {row["path"]: row for row in csv.DictReader(opened)}


def test_pictures_of_every_shape_get_a_guess_in_little_memory() -> None:
    for name, size in SIZES.items():
        Image.new("RGB", size, (9, 200, 30)).save(name)
    Image.new("RGB", (40, 40)).save("first.png")
    assert run("predict", "first.png", *WORDS, "--predictions.file", "first.csv") == 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert run("predict", *SIZES, *WORDS) == 0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 << 10  # KiB
    rows = _rows()
    assert list(rows) == list(SIZES)
    for name, size in SIZES.items():
        assert (int(rows[name]["width"]), int(rows[name]["height"])) == size
        assert rows[name]["category_1"]
    # One colour is that colour at every size.
    first = rows["1x4000.png"]
    for name in ("1x40000.png", "40000x1.png", "30x40000.tif"):
        assert rows[name]["category_1"] == first["category_1"]


@pytest.mark.first_covers
@pytest.mark.slow
@pytest.mark.parametrize(
    ("environment", "redirection", "status"),
    [
        ({}, "> /dev/full", 2),
        ({}, ">&-", 2),
        ({}, "2> /dev/full > /dev/null", 0),
        ({}, "| head -1", 0),
        ({"PYTHONIOENCODING": "ascii"}, "", 0),
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, "", 0),
    ],
    ids=["full", "closed", "stderr full", "head", "ascii", "C"],
)
def test_no_output_costs_the_table(
    environment: dict[str, str], redirection: str, status: int
) -> None:
    folder = os.fsdecode(b"caf\xe9 \xf0\x9f\x98\x80")
    Path(folder).mkdir()
    for name in ("a.png", "b,\n.png"):
        Image.new("RGB", (40, 40), "red").save("picture.png")
        Path("picture.png").rename(f"{folder}/{name}")
    paths = {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "OMP_NUM_THREADS": "1"}
    command = ["-", sys.executable, "-m", "places", "predict", folder, *WORDS]
    done = subprocess.run(
        ["bash", "-c", f'set -o pipefail; "$@" {redirection}', *command],
        env={**os.environ, **paths, **environment},
        capture_output=True,
        check=False,
    )
    told = done.stderr.decode("utf-8", "replace")
    assert "Traceback" not in told
    assert done.returncode in (status, 1 if "head" in redirection else status), told
    if status == 2:
        (error,) = [line for line in told.splitlines() if line.startswith("places: error: ")]
        assert len(told[told.index(error) :].splitlines()) == 2
    rows = _rows()
    assert len(rows) == 2
    assert all(row["category_1"] for row in rows.values())
