"""The scripts that compare the loader with its peers: what they refuse, and what they leave out."""

import argparse
import importlib
import importlib.util
import math
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import pytest
import simplejpeg

SCRIPTS = Path(__file__).parents[1] / "scripts" / "benchmarks"
WORK = {"shape": [16, 3, 224, 224], "num_images": 64, "mean": 110.0, "std": 60.0}


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return SCRIPTS


def _options(folder: Path) -> argparse.Namespace:
    return argparse.Namespace(python={}, folder=folder, batch_size=16, num_threads=1)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({}, ""),
        ({"shape": [16, 224, 224, 3], "num_images": 60, "mean": 113.0}, ""),
        ({"shape": [16, 3, 256, 256]}, "shape"),
        ({"num_images": 48}, "48 pictures in an epoch, not 64"),
        ({"num_images": 65}, "65 pictures"),
        ({"mean": 90.0}, "mean of the pixels 90.0, not 110.0"),
        ({"std": math.nan}, "std of the pixels nan"),
    ],
)
def test_a_loader_that_does_less_or_other_work_is_told(
    scripts: Path, change: dict[str, Any], fault: str
) -> None:
    faults = importlib.import_module("bench_loaders").faults_of(WORK | change, WORK, 64)
    assert fault in "".join(faults)
    assert bool(faults) == bool(fault)


def test_a_peer_that_is_not_installed_is_left_out_by_its_reason(
    scripts: Path, tmp_path: Path
) -> None:
    bench = importlib.import_module("bench_loaders")
    peers = [loader for loader in bench.LOADERS_TO_MEASURE if loader.peer]
    assert {loader.peer for loader in peers} == set(bench.PEERS)
    assert all((bench.LOADERS / loader.script).is_file() for loader in bench.LOADERS_TO_MEASURE)
    if importlib.util.find_spec("spdl"):
        pytest.skip("SPDL is installed")
    (spdl,) = (loader for loader in peers if loader.peer == "spdl")
    assert bench.run(spdl, _options(tmp_path)) == {"missing": "No module named 'spdl'"}


def test_a_peer_that_fails_does_not_end_the_measurement(scripts: Path, tmp_path: Path) -> None:
    bench = importlib.import_module("bench_loaders")
    failed = bench.run(bench.Loader("no pictures", "image_folder.py"), _options(tmp_path))
    assert failed["failed"].startswith("FileNotFoundError")


@pytest.mark.parametrize("word", ["fcv=python", "ffcv", "ffcv=no-such-python"])
def test_a_python_for_nobody_or_nowhere_is_refused(scripts: Path, word: str) -> None:
    bench = importlib.import_module("bench_loaders")
    with pytest.raises(argparse.ArgumentTypeError):
        bench.python_of_peer(word)
    assert bench.python_of_peer(f"ffcv={sys.executable}") == ("ffcv", sys.executable)


def test_a_folder_with_something_else_is_left_alone(
    scripts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    monkeypatch.setattr(sys, "argv", ["bench_loaders.py", "--keep", "--folder", str(tmp_path)])
    with pytest.raises(FileExistsError):
        importlib.import_module("bench_loaders").main()
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_calls_are_counted_and_left_as_they_were(
    scripts: Path, sample: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench: ModuleType = importlib.import_module("bench_interpreter")
    monkeypatch.setattr(bench, "BATCH_SIZE", 16)
    calls = simplejpeg.decode_jpeg, cv2.resize, os.pread, os.preadv
    options = argparse.Namespace(num_threads=2, num_batches=3, runs=1)
    assert all(value > 0 for value in bench.measure(str(sample), options))
    assert calls == (simplejpeg.decode_jpeg, cv2.resize, os.pread, os.preadv)
