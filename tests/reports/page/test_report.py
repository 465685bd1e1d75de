"""`places report`, and the page that `fit` and `test` leave, as people get them."""

import base64
import csv
import errno
import hashlib
import html
import io
import json
import re
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import scipy.stats
import yaml
from PIL import Image
from tests.failing_files import FailingFiles
from tests.integration.stages import fit_in, run

from places.categories import load_categories
from places.cli.main import main
from places.console import printable
from places.reports.page.confusion import block_of, pairs_of
from places.reports.page.panels import thinned

MAX_BYTES = 3_000_000


def text_of(path: Path) -> str:
    """Return what a page says, without markup."""
    page = re.sub(r"<(style|script).*?</\1>", "", path.read_text("utf-8"), flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", page.replace("<wbr>", ""))))


def data_of(page: Path) -> dict[str, Any]:
    """Return the numbers that the scripts of a page get."""
    found = re.search(r'id="data">(.*?)</script>', page.read_text("utf-8"), re.DOTALL)
    assert found
    data: dict[str, Any] = json.loads(found[1])
    return data


def result_of(folder: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return result


@pytest.fixture
def copied(runs: Path, tmp_path: Path) -> Path:
    """Copies of the runs, to be changed."""
    shutil.copytree(runs, tmp_path / "runs" / "fit")
    return tmp_path / "runs" / "fit"


def test_fit_and_test_leave_a_page_unless_told_not_to(runs: Path) -> None:
    found = {path.parent.name for path in runs.rglob("report.html")}
    assert found == {"0", "1"}
    for number in found:
        page = runs / number / "report.html"
        assert page.stat().st_size < MAX_BYTES
        assert not list(page.parent.glob(".*"))


def test_the_page_of_a_test_says_what_its_result_says(runs: Path) -> None:
    result, text = result_of(runs / "1"), text_of(runs / "1" / "report.html")
    for name, value in result["scores"].items():
        assert (f"{value:.4f}" if name == "loss" else f"{value:.2%}") in text, name
    for name, (low, high) in result["intervals"].items():
        assert f"{low:.2%} to {high:.2%}" in text, name
    hashes = [result["config_hash"], result["checkpoint"]["sha256"], result["pictures"]["sha256"]]
    hashes += [result["data"]["manifest_digest"], result["code"]["source_sha256"]]
    assert all(digest in text for digest in hashes)
    for name, version in result["versions"].items():
        assert f"{name} {version}" in text
    assert "36 drawn pictures of split val" in text
    assert f"--ckpt_path {runs / '0'}" in text
    assert "What this page could not read" not in text


def test_categories_are_those_of_the_result_with_what_they_were_taken_for(runs: Path) -> None:
    result, page = result_of(runs / "1"), (runs / "1" / "report.html").read_text()
    table = pandas.read_parquet(runs / "1" / "scores.parquet")
    names = load_categories()
    rows = re.findall(
        r'<tr><th scope="row">([^<]*)</th>\s*<td data-value="(.*?)">(.*?)</tr>', page, re.DOTALL
    )
    found = {html.unescape(name): (float(value), rest) for name, value, rest in rows}
    told = {row["category"]: row for row in result["categories"] if row["num_images"]}
    assert found.keys() == told.keys()
    assert [value for value, _ in found.values()] == sorted(row["top1"] for row in told.values())
    for name, (value, rest) in found.items():
        assert value == told[name]["top1"]
        of_this = table[table["label"] == names.index(name)]
        wrong = of_this[of_this["top1"] != of_this["label"]]["top1"].value_counts()
        last = re.sub(r"<[^>]*>", "", rest.rpartition("<td>")[2]).strip()
        if wrong.empty:
            assert last == ""
        else:
            likely = {
                f"{names[label]} ({wrong.iloc[0]})" for label in wrong[wrong == wrong.iloc[0]].index
            }
            assert last in likely


def test_curves_hold_what_the_table_of_metrics_holds(runs: Path) -> None:
    plots = data_of(runs / "0" / "report.html")["plots"]
    with (runs / "0" / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = set(rows[0]) - {"step", "epoch"}
    series = {each["name"]: each for plot in plots for each in plot["series"]}
    assert series.keys() == names
    for name, each in series.items():
        expected = sorted((int(row["step"]), float(row[name])) for row in rows if row[name])
        assert each["x"] == [step for step, _ in expected]
        assert each["y"] == pytest.approx([value for _, value in expected], rel=1e-5)
    # The page of the test shows the curves of its training.
    assert data_of(runs / "1" / "report.html")["plots"] == plots


def test_confusion_is_that_of_the_pictures(runs: Path) -> None:
    block = data_of(runs / "1" / "report.html")["block"]
    table = pandas.read_parquet(runs / "1" / "scores.parquet")
    names = load_categories()
    labels = [names.index(name) for name in block["names"]]
    assert len(labels) == len({*labels}) <= 18
    for row, label in zip(block["counts"], labels, strict=True):
        guesses = table[table["label"] == label]["top1"]
        expected = [int((guesses == guess).sum()) for guess in labels]
        assert row == [*expected, len(guesses) - sum(expected)]


def test_the_page_of_a_training_shows_its_last_validation(runs: Path) -> None:
    validation = json.loads((runs / "0" / "validation.json").read_text())
    text = text_of(runs / "0" / "report.html")
    assert "Last validation" in text
    assert f"{validation['scores']['top1']:.2%}" in text
    assert "trainer.max_epochs 2 3" in text, "what the flags changed of the recipe"
    for part in (
        "waiting for data",
        "forward",
        "backward",
        "optimizer",
        "validation",
        "checkpoints",
    ):
        assert part in text
    assert "complete" in text


def test_the_page_of_a_validation_shows_its_scores(runs: Path, tmp_path: Path) -> None:
    words = ("--ckpt_path", runs / "0", "--trainer.default_root_dir", tmp_path)
    assert run("validate", *words) == 0
    (folder,) = tmp_path.glob("*/0")
    assert main(["report", str(folder)]) == 0
    text = text_of(folder / "report.html")
    result = result_of(runs / "1")  # of the same checkpoint and split
    for name in ("top1", "top5", "indoor_or_outdoor"):
        low, high = result["intervals"][name]
        assert f"{result['scores'][name]:.2%} {low:.2%} to {high:.2%}" in text
    assert "Last validation" not in text
    assert "mostly taken for" in text


def test_a_page_needs_no_network_and_allows_no_foreign_script(runs: Path) -> None:
    page = html.unescape((runs / "1" / "report.html").read_text())
    assert "default-src 'none'" in page
    assert "unsafe" not in page
    addresses = {*re.findall(r'\b(?:src|href|action)="([^"]*)"', page)}
    assert all(address.startswith(("data:image/", "#")) for address in addresses)
    assert not re.findall(r"\sstyle=|\son\w+=", page), "the policy would forbid them"


def test_pictures_are_those_of_the_shards_and_left_out_with_a_line_without_them(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = copied / "1" / "report.html"
    assert page.read_text().count("data:image/jpeg;base64,") > 12
    config = copied / "1" / "config.yaml"
    text = config.read_text()
    for root, reason in (
        ("/nowhere/at/all", "the pictures are not at /nowhere/at/all"),
        ("https://example.org/data", "the pictures are not on this machine"),
    ):
        config.write_text(re.sub(r"root: .*", f"root: {root}", text))
        assert main(["report", str(copied / "1")]) == 0
        assert capsys.readouterr().out.strip() == str(page)
        assert f"Without pictures: {reason}" in text_of(page)
        assert "data:image/jpeg" not in page.read_text()


def test_several_runs_are_beside_each_other(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(runs / "1"), str(runs / "2")]) == 0
    assert capsys.readouterr().out == "report.html\n"
    page = tmp_path / "report.html"
    text = text_of(page)
    one, two = result_of(runs / "1"), result_of(runs / "2")
    for result in (one, two):
        assert f"{result['scores']['top1']:.2%}" in text
    tables = [pandas.read_parquet(runs / number / "scores.parquet") for number in ("1", "2")]
    hits = [(table["label"] == table["top1"]).to_numpy() for table in tables]
    only_first, only_second = int((hits[0] & ~hits[1]).sum()), int((~hits[0] & hits[1]).sum())
    chance = scipy.stats.binomtest(only_first, only_first + only_second).pvalue
    (shown,) = re.findall(r"McNemar's paired test: p = ([\d.e-]+)", text)
    assert float(shown) == pytest.approx(chance, rel=6e-3)  # three digits
    assert f"{100 * (hits[1].mean() - hits[0].mean()):+.2f} points" in text
    assert ("not told apart" in text) == (chance >= 0.05)
    assert "random_weights" in text, "the configs differ in it"
    assert "fit/1 and fit/2" in text
    assert page.stat().st_size < MAX_BYTES


def test_the_most_confidently_wrong_are_those_with_the_surest_wrong_guess(copied: Path) -> None:
    folder = copied / "1"
    table = pandas.read_parquet(folder / "scores.parquet")
    table["confidence"] = np.random.default_rng(2).uniform(0.01, 1, len(table)).astype(np.float32)
    table.to_parquet(folder / "scores.parquet")
    result = result_of(folder)
    digest = hashlib.sha256((folder / "scores.parquet").read_bytes()).hexdigest()
    result["pictures"]["sha256"] = digest
    (folder / "result.json").write_text(json.dumps(result))
    assert main(["report", str(folder)]) == 0
    page = (folder / "report.html").read_text().replace("<wbr>", "")
    strips = re.split(r'<div class="card strip">', page)[1:]
    found = {
        re.findall(r"<h3>(.*?) <", strip)[0]: re.findall(r'class="key">(.*?)</p>', strip)
        for strip in strips
    }
    right = table["label"] == table["top1"]

    def surest(rows: Any) -> list[str]:  # noqa: ANN401  # pandas ships no types
        return list(rows.sort_values("confidence", ascending=False, kind="stable")["key"][:12])

    assert found == {
        "Best": surest(table[right]),
        "Most confidently wrong": surest(table[~right]),
        "Worst": list(table[~right].sort_values("probability", kind="stable")["key"][:12]),
    }
    # Each picture is that of its name, as the archive has it.
    names = re.findall(r'<img src="data:image/jpeg;base64,([^"]*)" alt="([^"]*)"', page)
    for text, key in names[:8]:
        with Image.open(io.BytesIO(base64.b64decode(text))) as image:
            shown = np.asarray(image.convert("RGB"), np.float64)
        expected = np.asarray(_picture(copied, key).resize(image.size), np.float64)
        assert np.abs(shown - expected).mean() < 12


def _picture(runs: Path, key: str) -> Image.Image:
    config = yaml.safe_load((runs / "1" / "config.yaml").read_text())
    root = Path(config["data"]["init_args"]["root"])
    for shard in sorted(root.glob("val-*.tar")):
        with tarfile.open(shard) as tar:
            for name in {f"{key}.jpg", f"{key}.ppm"} & {*tar.getnames()}:
                member = tar.extractfile(name)
                assert member is not None
                return Image.open(io.BytesIO(member.read())).convert("RGB")
    raise AssertionError(f"no picture {key}")


@pytest.mark.slow
def test_a_training_that_went_on_shows_its_whole_curves(sample: Path, tmp_path: Path) -> None:
    first = fit_in(tmp_path, "--data.root", sample, "--trainer.max_epochs", 1)
    last = first / "checkpoints" / "last.ckpt"
    words = ("--trainer.max_epochs", 2, "--trainer.default_root_dir", tmp_path)
    assert run("fit", "--ckpt_path", last, *words) == 0
    assert main(["report", str(tmp_path / "fit" / "1")]) == 0
    page = tmp_path / "fit" / "1" / "report.html"
    assert f"goes on from {last}" in text_of(page)
    (loss,) = (
        each
        for plot in data_of(page)["plots"]
        for each in plot["series"]
        if each["name"] == "train/loss"
    )
    assert loss["x"] == list(range(1, 12, 2))
    folders = (tmp_path / "fit" / number for number in ("0", "1"))
    tables = [pandas.read_csv(folder / "metrics.csv") for folder in folders]
    expected = [value for table in tables for value in table["train/loss"].dropna()]
    assert loss["y"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_costs_of_networks_are_shown_where_they_are_given(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = ["--image_size", "32", "--num_classes", "5", "--runs", "2", "--turn_s", "0.01"]
    words = [*sizes, "--batch_sizes", "1", "--ways", "eager", "--file", "networks.json"]
    assert main(["bench", "networks", "tests.networks.Tiny", *words]) == 0
    assert main(["report", str(runs / "2"), "--networks", "networks.json", "--file", "a.html"]) == 0
    text = text_of(Path("a.html"))
    measured = json.loads(Path("networks.json").read_text())
    assert "Costs of networks" in text
    for row in measured["rows"]:
        assert f"{row['work']}, batches of {row['batch_size']}" in text
    assert f"machine: {measured['hardware']['cpu']}" in text
    Path("networks.json").write_text("{}")
    capsys.readouterr()
    assert main(["report", str(runs / "2"), "--networks", "networks.json"]) == 2
    assert "was not written by places bench networks" in capsys.readouterr().err


def test_scores_of_other_pictures_are_not_compared(copied: Path) -> None:
    result = result_of(copied / "2")
    result["data"]["manifest_digest"] = "0" * 64
    (copied / "2" / "result.json").write_text(json.dumps(result))
    words = ["report", str(copied / "1"), str(copied / "2"), "--file", "new/page.html"]
    assert main(words) == 0
    text = text_of(Path("new/page.html"))
    assert "scored on different pictures" in text
    assert "McNemar" not in text


@pytest.mark.slow
def test_three_runs_of_which_one_is_a_training(runs: Path) -> None:
    assert main(["report", *(str(runs / number) for number in "012"), "--file", "three.html"]) == 0
    text = text_of(Path("three.html"))
    assert "3 runs" in text
    assert "others by a validation" in text


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (["nowhere"], ["no run at nowhere", "  list those that there are:  places runs"]),
        (["."], [". is not the folder of a run", "  list the runs:  places runs"]),
        (["{run}", "{run}"], ["{run} is given twice"]),
        (["{run}", "--file", "."], ["file . is a folder", "  name a file:  report.html"]),
    ],
)
def test_mistakes_are_told(
    runs: Path, capsys: pytest.CaptureFixture[str], words: list[str], lines: list[str]
) -> None:
    folder = str(runs / "0")
    assert main(["report", *(word.format(run=folder) for word in words)]) == 2
    error = capsys.readouterr().err.splitlines()
    assert error == [f"places: error: {lines[0].format(run=folder)}", *lines[1:]]


def test_a_page_that_cannot_be_written_ends_no_run(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        failing = FailingFiles(patch, "report.html", errno.ENOSPC)
        fit_in(tmp_path, "--data.root", sample, "--trainer.max_steps", 2, "--report", "true")
    assert failing.num_refused
    lines = [line for line in capsys.readouterr().err.splitlines() if "report.html" in line]
    assert len(lines) == 1
    assert lines[0].startswith("places: report.html is not written: ")
    assert "Traceback" not in lines[0]


def test_a_trial_leaves_no_page(sample: Path, tmp_path: Path) -> None:
    words = ("--data.root", sample, "--trainer.fast_dev_run", "true", "--report", "true")
    assert run("fit", *words) == 0
    assert not list(tmp_path.rglob("report.html"))


HOSTILE = (
    '<script>alert(1)</script><img src=x onerror="alert(2)">{{ 7*7 }}</script>$\\frac$\x1b[31m'
)


def spoil(folder: Path) -> None:
    """Put what might run somewhere into all that a page shows."""
    result = result_of(folder)
    for row in result["categories"]:
        row["category"] = f"{HOSTILE}{row['label']}"
    for part in ("versions", "hardware", "protocol", "code", "data"):
        result[part] |= {HOSTILE: HOSTILE}
    result["scores"][HOSTILE] = 0.5
    result["intervals"][HOSTILE] = [0.4, 0.6]
    (folder / "result.json").write_text(json.dumps(result))
    record = json.loads((folder / "run.json").read_text())
    record["command"] = ["places", HOSTILE]
    record["changes"] = [[HOSTILE, HOSTILE, HOSTILE]]
    record["recipes"] = [[HOSTILE, HOSTILE]]
    record["times_s"] = {HOSTILE: 1.0, "forward": 2.0}
    record["memory_bytes"] = {HOSTILE: 1e9}
    (folder / "run.json").write_text(json.dumps(record))
    names = HOSTILE.replace('"', '""')
    (folder / "metrics.csv").write_text(f'step,val/loss,"{names}","_x"\n1,2.0,3.0,1\n2,1.5,nan,2\n')
    config = folder / "config.yaml"
    config.write_text(config.read_text() + json.dumps(HOSTILE) + ": " + json.dumps(HOSTILE) + "\n")


def test_what_others_wrote_is_shown_as_text(copied: Path) -> None:
    spoil(copied / "1")
    shutil.move(copied / "1", copied / printable(HOSTILE).replace("/", "|"))
    shutil.move(copied / "0", copied / "1")
    folder = copied / printable(HOSTILE).replace("/", "|")
    assert main(["report", str(folder)]) == 0
    page = (folder / "report.html").read_text()
    assert page.count("<script") == 2
    assert "<img src=x" not in page
    assert "\x1b" not in page
    assert "{{" in page, "as text"
    text = text_of(folder / "report.html")
    assert "<script>alert(1)</script>" in text
    assert "cannot be shown" not in text


def nonsense(value: object) -> Any:  # noqa: ANN401  # JSON of any kind
    """Return the same with each number, list and text replaced by something else."""
    if isinstance(value, dict):
        return {key: nonsense(part) for key, part in value.items()}
    if isinstance(value, list):
        return {"not": "a list"}
    return [value]


@pytest.mark.slow
@pytest.mark.parametrize("part", ["scores", "intervals", "categories", "data", "all"])
def test_a_page_is_made_of_what_is_left(copied: Path, part: str) -> None:
    result = result_of(copied / "1")
    if part == "all":
        result = nonsense(result)
    else:
        result[part] = nonsense(result[part])
    (copied / "1" / "result.json").write_text(json.dumps(result))
    assert main(["report", str(copied / "1")]) == 0
    text = text_of(copied / "1" / "report.html")
    assert "What this page could not read" in text
    assert "What was run" in text
    if part == "all":
        assert main(["report", str(copied / "1"), str(copied / "2")]) == 0


@pytest.mark.slow
@pytest.mark.parametrize("value", [1e999, -1, 1e300])
def test_numbers_that_cannot_be_are_not_drawn(copied: Path, value: float) -> None:
    text = (copied / "1" / "result.json").read_text()
    result = json.loads(text)
    result["categories"][0] |= {"num_images": 3, "top1": "TOP1"}
    result["scores"]["top5"] = result["reliability"][3]["num_images"] = "TOP1"
    changed = json.dumps(result).replace('"TOP1"', "1e999" if value == 1e999 else str(value))
    (copied / "1" / "result.json").write_text(changed)
    assert main(["report", str(copied / "1")]) == 0
    page = copied / "1" / "report.html"
    assert "The categories cannot be shown" in text_of(page)
    assert not re.findall(r'"-?(inf|nan)', page.read_text())


def test_a_folder_with_a_config_only_has_a_page(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "old" / "3"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("# places fit\ntrainer: {max_epochs: 2}\n")
    assert main(["report", str(folder)]) == 0
    assert "trainer.max_epochs 2" in text_of(folder / "report.html")


def test_long_curves_keep_their_highest_and_lowest_points() -> None:
    values = np.random.default_rng(3).normal(size=20_000)
    values[[1234, 17_000]] = 50, -50
    curve = list(enumerate(values.tolist()))
    kept = thinned(curve)
    assert len(kept) <= 1000
    assert {(1234, 50.0), (17_000, -50.0), curve[0], curve[-1]} <= {*kept}
    assert kept == sorted(kept)
    assert thinned(curve[:1000]) == curve[:1000]


def test_the_block_of_a_large_matrix_holds_its_worst_pairs() -> None:
    random = np.random.default_rng(5)
    counts = random.poisson(0.02, (365, 365)) + 80 * np.eye(365, dtype=np.int64)
    for one, other, num in ((3, 300, 30), (300, 41, 25), (100, 101, 20)):
        counts[one, other] += num
    labels, block = block_of(counts)
    assert len(labels) == 18
    assert {3, 300, 41, 100, 101} <= {*labels}
    assert abs(labels.index(100) - labels.index(101)) == 1
    assert abs(labels.index(3) - labels.index(300)) == 1
    assert (block.sum(axis=1) == counts[labels].sum(axis=1)).all()
    pairs = pairs_of(counts, 3)
    assert [{pair.first, pair.second} for pair in pairs] == [{3, 300}, {300, 41}, {100, 101}]
    assert pairs[0].first_as_second == counts[3, 300]
    assert pairs[0].second_as_first == counts[300, 3]
