"""Every command, at every place that it writes, on a disk that is full, read-only or broken."""

import errno
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from tests.failing_files import FailingFiles, VanishingFolder
from tests.integration.stages import FIT, MACHINE, fit_in, read_metrics

from places.cli.main import main
from places.errors import StorageError
from places.reports.metrics_file import keep_whole

PIXELS = ["--pixels", "mixed:0.5"]
ROOT = Path(__file__).parents[2]
FULL, READ_ONLY, BROKEN = errno.ENOSPC, errno.EROFS, errno.EIO
REASONS = {FULL: "No space left on device", READ_ONLY: "Read-only file system", BROKEN: "Input/out"}


@pytest.fixture(scope="module")
def trained(mixed_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of one epoch."""
    root = tmp_path_factory.mktemp("trained")
    return fit_in(root, "--data.root", mixed_sample, "--trainer.max_epochs", 1)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from PIL import Image

    root = tmp_path_factory.mktemp("photos")
    for number in range(20):
        Image.new("RGB", (40, 40), (number, 0, 0)).save(root / f"{number:02}.jpg")
    return root


@pytest.fixture(scope="module", autouse=True)
def served(mixed_sample: Path) -> Iterator[None]:
    """The sample behind a URL."""
    handler = partial(_Quiet, directory=str(mixed_sample))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        os.environ["TEST_URL"] = f"http://127.0.0.1:{server.server_port}"
        yield
        server.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


Words = Callable[[Path, Path, Path], list[str]]


def _fit(sample: Path, trained: Path, photos: Path) -> list[str]:
    return ["fit", "--data.root", str(sample), "--trainer.max_epochs", "1", *FIT]


def _test(sample: Path, trained: Path, photos: Path) -> list[str]:
    return ["test", "--ckpt_path", str(trained), *MACHINE]


def _submit(sample: Path, trained: Path, photos: Path) -> list[str]:
    return [*_test(sample, trained, photos), "--data.test_split", "test"]


def _predict(sample: Path, trained: Path, photos: Path) -> list[str]:
    words = ["predict", "--data", "ImageFiles", "--data.images", str(photos)]
    return [*words, "--ckpt_path", str(trained), "--data.batch_size", "4", *MACHINE]


def _predict_into(table: str) -> Words:
    """Return how a table of that name is asked for."""

    def words(sample: Path, trained: Path, photos: Path) -> list[str]:
        return [*_predict(sample, trained, photos), "--predictions.file", table]

    return words


def _pack(sample: Path, trained: Path, photos: Path) -> list[str]:
    return ["pack", str(sample / "archives" / "val_256.tar"), "--root", "packed", *PIXELS]


def _sample(sample: Path, trained: Path, photos: Path) -> list[str]:
    return ["sample", "--root", "drawn", "--num_train", "8", "--num_val", "4", "--num_test", "4"]


def _index(sample: Path, trained: Path, photos: Path) -> list[str]:
    folder = Path("elsewhere")
    folder.mkdir()
    (folder / "val-000000.tar").symlink_to(sample / "val-000000.tar")
    return ["verify", "elsewhere", "--index"]


def _cache(sample: Path, trained: Path, photos: Path) -> list[str]:
    url = os.environ["TEST_URL"]
    return [*_test(sample, trained, photos), "--data.root", url, "--data.cache_folder", "cache"]


def _download(sample: Path, trained: Path, photos: Path) -> list[str]:
    url = f"{os.environ['TEST_URL']}/archives"
    return ["download", "val_256.tar", "--root", "fetched", "--base_url", url]


def _bench(sample: Path, trained: Path, photos: Path) -> list[str]:
    return ["bench", "loader", os.environ["TEST_URL"], "--batch_size=8", "--num_batches=1"]


PLACES = [
    pytest.param(_fit, "/runs/fit", id="fit-folder"),
    pytest.param(_fit, "config.yaml", id="fit-config"),
    pytest.param(_fit, "metrics.csv", id="fit-metrics"),
    pytest.param(_fit, "last.ckpt", id="fit-last"),
    pytest.param(_fit, "best.ckpt", id="fit-best"),
    pytest.param(_test, "/runs/fit", id="test-folder"),
    pytest.param(_test, "config.yaml", id="test-config"),
    pytest.param(_test, "metrics.csv", id="test-metrics"),
    pytest.param(_test, "result.json", id="test-result"),
    pytest.param(_submit, ".submission.txt.0", id="submission-rows"),
    pytest.param(_submit, "submission.txt.", id="submission"),
    pytest.param(_predict, "predictions.csv", id="predict"),
    pytest.param(_predict, "predictions.csv.json", id="predict-state"),
    pytest.param(_predict_into("out.jsonl"), "out.jsonl", id="predict-jsonl"),
    pytest.param(_predict_into("out.parquet"), "out.parquet.jsonl", id="predict-journal"),
    pytest.param(_predict_into("out.parquet"), "out.parquet.", id="predict-parquet"),
    pytest.param(_pack, "/packed", id="pack-folder"),
    pytest.param(_pack, "val-000000.tar", id="pack-shard"),
    pytest.param(_pack, "val.index.npy", id="pack-index"),
    pytest.param(_pack, "val.json", id="pack-manifest"),
    pytest.param(_sample, "/drawn", id="sample-folder"),
    pytest.param(_sample, "train_256", id="sample-archive"),
    pytest.param(_index, "val.index.npy", id="index"),
    pytest.param(_index, "val.json", id="index-manifest"),
    pytest.param(_cache, "/cache", id="cache"),
    pytest.param(_download, "/fetched", id="download-folder"),
    pytest.param(_download, "val_256.tar.part", id="download"),
    pytest.param(_bench, "/data/cache", id="bench-cache"),
]


@pytest.mark.parametrize(
    ("words", "name", "number"),
    [
        pytest.param(
            *place.values,
            number,
            id=f"{place.id}-{errno.errorcode[number]}",
            marks=[] if number == FULL else [pytest.mark.no_cover],  # all go the same way
        )
        for index, place in enumerate(PLACES)
        # Everywhere a full disk, and at every third place what else disks say.
        for number in (FULL, *(() if index % 3 else (READ_ONLY, BROKEN)))
    ],
)
def test_what_cannot_be_written_is_told_in_two_lines(
    words: Words,
    name: str,
    number: int,
    mixed_sample: Path,
    trained: Path,
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = words(mixed_sample, trained, photos)
    with pytest.MonkeyPatch.context() as patch:
        failing = FailingFiles(patch, name, number)
        status = main(given)
    if not failing.num_refused:
        pytest.skip("such a disk lets this be written")
    lines = capsys.readouterr().err.splitlines()
    assert status == 2, lines
    (first,) = [number for number, line in enumerate(lines) if line.startswith("places: error: ")]
    assert REASONS[number] in lines[first]
    assert len(lines[first:]) == 2, lines
    _check_what_is_left(tmp_path, lines)


def _check_what_is_left(root: Path, lines: list[str]) -> None:
    """All files are whole, and what is hidden is named."""
    for path in root.rglob("*"):
        relative = path.relative_to(root)
        if path.is_symlink() or not path.is_file():
            continue
        if any(part.startswith(".") for part in relative.parts):
            assert any(path.name in line for line in lines), f"{relative} is not named"
        elif path.suffix == ".ckpt":
            torch.load(path, weights_only=True)
        elif path.suffix == ".json":
            json.loads(path.read_text())
        elif path.name == "metrics.csv":
            assert path.read_text().endswith("\n")
            read_metrics(path.parent)


@pytest.mark.parametrize(
    ("words", "name", "folder"),
    [
        pytest.param(_fit, "metrics.csv", "runs/fit/0", id="fit-metrics"),
        pytest.param(_fit, "last.ckpt", "runs/fit/0", id="fit-checkpoint"),
        pytest.param(_fit, "config.yaml", "runs", id="fit-config"),
        pytest.param(_test, "result.json", "runs", id="test-result"),
        pytest.param(_submit, ".submission.txt.0", "runs/fit", id="submission-rows"),
        pytest.param(_predict, "predictions.csv.json", "runs", id="predict-state"),
        pytest.param(_predict_into("new/out.parquet"), "out.parquet", "new", id="predict-parquet"),
        pytest.param(_pack, "val-000000.tar", "packed", id="pack-shard"),
        pytest.param(_pack, "val.json", "packed/.val.packing", id="pack-manifest"),
        pytest.param(_sample, "train_256", "drawn", id="sample-archive"),
        pytest.param(_index, "val.index.npy", "elsewhere", id="index"),
    ],
)
def test_a_folder_that_vanishes_is_told_in_two_lines(
    words: Words,
    name: str,
    folder: str,
    mixed_sample: Path,
    trained: Path,
    photos: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = words(mixed_sample, trained, photos)
    with pytest.MonkeyPatch.context() as patch:
        vanishing = VanishingFolder(patch, name, Path(folder))
        status = main(given)
    assert vanishing.is_gone
    lines = capsys.readouterr().err.splitlines()
    assert status == 2, lines
    (first,) = [number for number, line in enumerate(lines) if line.startswith("places: error: ")]
    assert "No such file or directory" in lines[first] or "is gone" in lines[first]
    assert len(lines[first:]) == 2, lines


@pytest.mark.parametrize(
    ("words", "name", "num_others"),
    [(_fit, "curves.png", 1), (_fit, "confusion.png", 1)],
)
def test_a_drawing_that_fails_ends_no_run(
    words: Words,
    name: str,
    num_others: int,
    mixed_sample: Path,
    trained: Path,
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = words(mixed_sample, trained, photos)
    with pytest.MonkeyPatch.context() as patch:
        FailingFiles(patch, name, FULL)
        assert main(given) == 0
    assert f"places: {name} is not drawn: cannot write" in capsys.readouterr().err
    assert len(list(tmp_path.rglob("*.png"))) == num_others


@pytest.mark.first_covers
@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_rows_that_were_written_remain_when_a_disk_is_full_and_go_on(
    ending: str,
    mixed_sample: Path,
    trained: Path,
    photos: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = _predict_into(f"out.{ending}")(mixed_sample, trained, photos)
    written = f"out.{ending}.jsonl" if ending == "parquet" else f"out.{ending}"
    with pytest.MonkeyPatch.context() as patch:
        FailingFiles(patch, f"/{written}$", FULL, num_bytes=2500)
        assert main(given) == 2
    rows = len(Path(written).read_text().splitlines()) - (ending == "csv")
    assert 0 < rows < 20
    assert rows % 4 == 0, "a batch is written as a whole"
    error = capsys.readouterr().err
    assert f"places: {rows} of 20 rows are in {written}; the same command goes on" in error
    assert f"places: error: cannot write {written}: No space left on device" in error
    assert main(given) == 0
    whole = _predict_into(f"whole.{ending}")(mixed_sample, trained, photos)
    assert main(whole) == 0
    assert Path(f"out.{ending}").read_bytes() == Path(f"whole.{ending}").read_bytes()


def test_a_table_of_metrics_outlives_a_metric_that_cannot_be_added(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, name="", version="")
    keep_whole(logger)
    logger.log_metrics({"a": 1.0}, 1)
    logger.save()
    logger.log_metrics({"a": 2.0}, 2)
    logger.save()
    before = (tmp_path / "metrics.csv").read_text()
    assert before.splitlines() == ["a,step", "1.0,1", "2.0,2"]
    logger.log_metrics({"b": 3.0}, 3)
    with pytest.MonkeyPatch.context() as patch:
        FailingFiles(patch, "metrics.csv", FULL)
        with pytest.raises(StorageError, match="No space left"):
            logger.save()
    assert (tmp_path / "metrics.csv").read_text() == before
    logger.save()
    after = (tmp_path / "metrics.csv").read_text()
    assert after.splitlines() == ["a,b,step", "1.0,,1", "2.0,,2", ",3.0,3"]


@pytest.mark.slow
def test_a_disk_that_is_really_full(mixed_sample: Path, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    mounted = ["unshare", "-Urm", "sh", "-c", "mount -t tmpfs -o size=96k none runs && exec $0 $@"]
    if subprocess.run([*mounted, "true"], capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    words = _fit(mixed_sample, mixed_sample, mixed_sample)
    paths = {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*mounted, sys.executable, "-m", "places", *words],
        env={**os.environ, **paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    # What only tells of the run is left out with a line; its weights end it.
    _, *left_out, first, second = done.stderr.splitlines()
    assert all(" is not written: cannot write " in line for line in left_out), done.stderr
    assert first.startswith("places: error: cannot write runs/fit/0/"), done.stderr
    assert first.endswith(": No space left on device")
    assert second == "  make room there"
