import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from places.bench import saturation
from places.cli.main import main

FEW = ("--batch_size", "16", "--image_size", "64")


def test_the_loader_is_measured(sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*FEW, "--num_batches", "3", "--runs", "2"]
    assert main(["bench", "loader", str(sample), *words]) == 0
    text = capsys.readouterr().out
    assert "train: 96 pictures in 1 shard, crops of 64 pixels" in text
    shares = [int(share) for share in re.findall(r"(-?\d+)%", text)]
    assert len(shares) == 5
    assert min(shares) >= 0
    assert sum(shares) >= 97  # each is rounded, and measured on its own
    for part in ("read", "decode", "resize", "plan and batch", "wait"):
        assert re.search(rf"\b{part}\b.* us", text)
    assert "--consume 2500" in text


class Clock:
    """A time that passes only while somebody sleeps, or pictures are made."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def perf_counter(self) -> float:
        """Return the seconds since the start."""
        return self.now_s

    def sleep(self, seconds: float) -> None:
        """Let the time pass."""
        assert seconds >= 0
        self.now_s += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(saturation, "time", found)
    return found


# By hand: a GPU that needs 2 s for a batch waits for what takes longer than that.
@pytest.mark.parametrize(
    ("made_s", "waited_s"),
    [
        ([9, 9, 1, 1, 2], 0.0),
        ([9, 9, 3, 1, 2], 1.0),  # no time is won back: nothing was asked for ahead
        ([9, 9, 2.5, 2.5, 2.5], 1.5),
        ([9, 9], 0.0),
    ],
)
def test_a_played_gpu_waits_for_what_comes_later_than_its_step(
    clock: Clock, made_s: list[float], waited_s: float
) -> None:
    def batches() -> Iterator[Any]:
        for seconds in made_s:
            clock.sleep(seconds)
            yield None

    found_s, num_batches = saturation.play_gpu(batches(), 2.0)
    assert found_s == pytest.approx(waited_s)
    assert num_batches == len(made_s) - saturation.NUM_WARM_UP


def test_a_gpu_that_takes_all_at_once_always_waits(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "new" / "loader.json"
    words = [*FEW, "--consume", "1e9", "--num_threads", "2", "--runs", "2", "--file", str(file)]
    assert main(["bench", "loader", str(sample), *words]) == 0
    output = capsys.readouterr().out
    assert "waits with any number of threads up to 2" in output
    assert "--pixels raw" in output
    content = json.loads(file.read_text())
    assert (content["format"], content["version"]) == ("places.loader", 1)
    assert content["threads_needed"] is None
    assert content["settings"]["consume"] == 1e9
    assert content["settings"]["formats"] == ["jpeg"]
    assert [row["num_threads"] for row in content["rows"]] == [1, 2]
    for row in content["rows"]:
        waits, rates = row["waits"], row["images_per_s"]
        assert 0.9 < waits["lowest"] <= waits["median"] <= waits["highest"] <= 1
        assert len(waits["runs"]) == len(rates["runs"]) == 2
    assert content["hardware"]["num_cores"] > 0
    assert content["code"]["source_sha256"]
    with Image.open(file.with_suffix(".png")) as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 300


@pytest.mark.usefixtures("clock")  # with which pictures are there at once
def test_the_smallest_number_of_threads_without_waiting_is_told(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "loader.json"
    words = [*FEW, "--consume", "2500", "--num_threads", "3", "--runs", "1", "--file", str(file)]
    assert main(["bench", "loader", str(sample), *words]) == 0
    output = capsys.readouterr().out
    assert "a GPU that takes 2,500 pictures/s never waits from 1 thread on" in output
    content = json.loads(file.read_text())
    assert content["threads_needed"] == 1
    for row in content["rows"]:
        assert row["waits"]["median"] == 0
        assert row["images_per_s"]["median"] == pytest.approx(2500)


@pytest.mark.parametrize(
    ("waiting", "verdict"),
    [
        ([1, 4], "never waits with 2 to 3 threads; with others it does"),
        ([1, 2, 4], "never waits with 3 threads; with others it does"),
        ([2, 3, 4], "never waits with 1 thread; with others it does"),
        ([3], "never waits with 1 to 2, 4 threads; with others it does"),
        ([1, 2, 3], "never waits from 4 threads on"),
        ([1], "never waits from 2 threads on"),
    ],
)
def test_more_threads_than_are_good_are_told(
    clock: Clock,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    waiting: list[int],
    verdict: str,
) -> None:
    def batches(num_threads: int, epoch: int) -> Iterator[Any]:
        for _ in range(5):
            clock.sleep(9 if num_threads in waiting else 0)
            yield None

    file = tmp_path / "loader.json"
    settings = {"batch_size": 16, "consume": 16, "runs": 2, "formats": ["ppm"]}
    saturation.measure_and_tell(batches, settings, 4, "train", file)
    output = capsys.readouterr().out
    assert f"a GPU that takes 16 pictures/s {verdict}\n" in output
    assert "--pixels raw" not in output
    content = json.loads(file.read_text())
    assert content["threads_needed"] == min({1, 2, 3, 4} - set(waiting))
    for row in content["rows"]:
        assert (row["waits"]["lowest"] > 0.5) == (row["num_threads"] in waiting)


def test_raw_shards_are_not_advised_to_be_raw(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    def batches(num_threads: int, epoch: int) -> Iterator[Any]:
        for _ in range(5):
            clock.sleep(9)
            yield None

    settings = {"batch_size": 16, "consume": 16, "runs": 1, "formats": ["jpeg", "ppm"]}
    saturation.measure_and_tell(batches, settings, 2, "train", None)
    output = capsys.readouterr().out
    assert "waits with any number of threads up to 2" in output
    assert "--pixels raw" not in output


@pytest.mark.usefixtures("clock")  # nothing sleeps
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--num_batches", "2", "--consume", "9"], "the first 2 are to warm up"),
        (["--consume", "0"], "consume must be 1 to"),
        (["--consume", "nan"], "wrong value for consume: nan"),
        (["--runs", "0"], "runs must be 1 to"),
        (["--num_batches", "0"], "num_batches must be 1 or more"),
        (["--num_threads", "0"], "num_threads must be 1 to"),
        (["--batch_size", "0"], "batch_size must be 1 or more"),
        (["--file", "loader.json"], "--consume 2500"),
        (["--consume", "9", "--file", "."], "is a folder"),
        (["--consume", "9", "--file", "loader.png"], "name it .json"),
    ],
)
def test_what_cannot_be_measured_is_refused_before(
    sample: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["bench", "loader", str(sample), *FEW, *words]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_batch_that_is_too_large_is_refused(
    sample: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "loader", str(sample), "--batch_size", "97"]) == 2
    assert "batch_size 97 is larger" in capsys.readouterr().err


def test_shards_may_lie_behind_a_url(sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--batch_size", "16", "--image_size", "32", "--num_batches", "1", "--runs", "1"]
    assert main(["bench", "loader", sample.as_uri(), *words]) == 0
    assert "train: 96 pictures in 1 shard" in capsys.readouterr().out


def test_pictures_without_labels_are_refused(
    sample: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "loader", str(sample), "--split", "test"]) == 2
    assert "split" in capsys.readouterr().err
