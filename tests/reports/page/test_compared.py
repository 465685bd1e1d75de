"""Runs beside each other: on a page, and in a report for Weights & Biases."""

import json
import re
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.reports.page.test_report import result_of, text_of

from places.cli.main import main
from places.data.remote.listed import save_urls
from places.reports.page.thumbnails import Thumbnails
from places.reports.run_facts import read_run


@pytest.fixture
def copied(runs: Path, tmp_path: Path) -> Path:
    """Copies of the runs, to be changed."""
    shutil.copytree(runs, tmp_path / "runs" / "fit")
    return tmp_path / "runs" / "fit"


def _change(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    result = result_of(folder)
    change(result)
    (folder / "result.json").write_text(json.dumps(result))


def test_without_the_pictures_of_both_the_intervals_tell(copied: Path) -> None:
    (copied / "2" / "scores.parquet").unlink()
    words = ["report", str(copied / "1"), str(copied / "2"), "--file", "page.html"]

    def said(*interval: float) -> str:
        """Return what is said of the second run with another interval of its score."""

        def change(result: dict[str, Any]) -> None:
            result["intervals"].pop("top1", None)
            if interval:
                result["intervals"]["top1"] = list(interval)

        _change(copied / "2", change)
        assert main(words) == 0
        text = text_of(Path("page.html"))
        assert "McNemar" not in text
        return text

    (low, high) = result_of(copied / "1")["intervals"]["top1"]
    points = 100 * (
        result_of(copied / "2")["scores"]["top1"] - result_of(copied / "1")["scores"]["top1"]
    )
    assert points != 0
    overlapping = said(low, high)
    assert f"{points:+.2f} points" in overlapping
    assert "the 95 % intervals overlap" in overlapping
    assert "not told apart" in overlapping
    apart = said(high + 0.01, 1.0)
    assert "the 95 % intervals do not overlap" in apart
    assert "not told apart" not in apart
    assert ("better" if points > 0 else "worse") in apart
    assert "it has no interval" in said()


def test_pictures_are_shown_only_if_they_are_those_that_were_scored(
    copied: Path, mixed_sample: Path, tmp_path: Path
) -> None:
    folder, root = copied / "1", tmp_path / "data"
    assert (folder / "report.html").read_text().count("data:image/jpeg;base64,") > 12
    shutil.copytree(mixed_sample, root, ignore=shutil.ignore_patterns("archives", "pictures"))
    config = folder / "config.yaml"
    config.write_text(re.sub(r"root: .*", f"root: {root}", config.read_text()))

    shards = sorted(root.glob("val-*.tar"))
    whole = [shard.read_bytes() for shard in shards]
    for shard, data in zip(shards, whole, strict=True):
        with tarfile.open(shard) as tar:
            members = [m for m in tar.getmembers() if m.name.endswith((".jpg", ".ppm"))]
        for member in members:
            end = member.offset_data + member.size
            data = data[: member.offset_data] + b"\0" * member.size + data[end:]
        shard.write_bytes(data)
    assert main(["report", str(folder)]) == 0
    assert "data:image/jpeg" not in (folder / "report.html").read_text()

    # Pictures of other names, another split, and one that lies behind URLs.
    for shard, data in zip(shards, whole, strict=True):
        shard.write_bytes(data)
    facts = read_run(folder)
    assert facts.pictures is not None
    thumbnails = Thumbnails(facts)
    assert thumbnails.of(0, facts.pictures.keys[0]).startswith("data:image/jpeg;base64,")
    assert thumbnails.of(1, facts.pictures.keys[0]) == ""
    thumbnails.close()
    _change(folder, lambda result: result["data"].update(manifest_digest="0" * 64))
    assert Thumbnails(read_run(folder)).why_not == f"other pictures are at {root} now"
    save_urls(root, "val", {shard.name: f"https://example.org/{shard.name}" for shard in shards})
    assert "a page fetches nothing" in Thumbnails(read_run(folder)).why_not


def _report(tmp_path: Path, *words: object) -> str:
    """Return the texts of a report for Weights & Biases."""
    pytest.importorskip("wandb_workspaces")
    file = tmp_path / "report.json"
    options = ("--wandb", "me/places", "--wandb_json", file)
    assert main(list(map(str, ["report", *words, *options]))) == 0
    blocks = json.loads(file.read_text(encoding="utf-8"))["spec"]["blocks"]
    return "\n".join(block.get("content", "") for block in blocks).replace("\\", "")


def test_a_report_compares_tests_as_the_page_does(copied: Path, tmp_path: Path) -> None:
    one, two = copied / "1", copied / "2"
    assert main(["report", str(one), str(two), "--file", "page.html"]) == 0
    page, text = text_of(Path("page.html")), _report(tmp_path, one, two)
    (how,) = re.findall(r"McNemar's paired test: p = [\d.e-]+", page)
    points = 100 * (result_of(two)["scores"]["top1"] - result_of(one)["scores"]["top1"])
    (line,) = (line for line in text.splitlines() if how in line)
    assert line.startswith(f"- fit/2: {points:+.2f} points, ")
    assert "The categories that differ most:" in text
    tables = [{x["category"]: x for x in result_of(run)["categories"]} for run in (one, two)]
    rows = text[text.index("differ most") :].splitlines()
    found = [row.split(" | ") for row in rows if re.match(r"\| \w+.* of \d", row)]
    assert found
    for name, *cells, change in found:
        parts = [table[name.removeprefix("| ")] for table in tables]
        assert cells == [f"{part['top1']:.1%} of {part['num_images']:,}" for part in parts]
        difference = 100 * (parts[1]["top1"] - parts[0]["top1"])
        assert float(change.split()[0]) == pytest.approx(difference, abs=0.06)
    # What is the same differs in nothing.
    for number in ("0", "1"):
        folder = tmp_path / "runs" / "plain" / number
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text("# places fit\ntrainer: {max_epochs: 3}\n")
    assert "Nothing." in _report(tmp_path, folder, folder.with_name("0")).splitlines()


def test_a_report_shows_what_networks_cost(copied: Path, tmp_path: Path) -> None:
    words = ["--image_size", "32", "--num_classes", "5", "--runs", "2", "--turn_s", "0.01"]
    words += ["--batch_sizes", "1", "--ways", "eager", "--work", "inference", "--no_memory"]
    assert main(["bench", "networks", "tests.networks.Tiny", *words, "--file", "net.json"]) == 0
    measured = json.loads(Path("net.json").read_text())
    text = _report(tmp_path, copied / "2", "--networks", "net.json")
    (row,) = measured["rows"]
    assert f"{row['work']}, batches of {row['batch_size']}" in text
    assert f"machine: {measured['hardware']['cpu']}" in text
    assert yaml.safe_load((copied / "2" / "config.yaml").read_text())["random_weights"] is True
