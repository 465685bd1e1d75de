"""The files around the package: pinned requirements, the Makefile, the summary of a run."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]


def pins() -> dict[str, str]:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in pairs}


def test_requirements_pin_a_release_that_pyproject_admits_of_each_package_it_names() -> None:
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project, groups = table["project"], table["dependency-groups"]
    wanted = [
        *project["dependencies"],
        *project["optional-dependencies"]["wandb"],
        *groups["dev"],
        *groups["docs"],
        *table["build-system"]["requires"],
    ]
    pinned = pins()
    for requirement in map(Requirement, wanted):
        version = pinned[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement} is pinned at {version}"


def test_requirements_pin_each_package_once_and_nothing_but_releases() -> None:
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line) for line in lines)
    assert len(pins()) == len(lines)


def test_the_wheel_holds_all_files_of_the_package(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    subprocess.run([*command, "--directory", tmp_path], cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.startswith("places/")}
    source = ROOT / "src"
    files = [path for path in (source / "places").rglob("*") if path.is_file()]
    there = {str(path.relative_to(source)) for path in files if "__pycache__" not in path.parts}
    assert {name for name in packed if not name.startswith("places/configs/")} == there
    assert {"places/reports/gallery/page.html", "places/configs/demo.yaml"} <= packed


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_alone_lists_every_target_with_what_it_does() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^\.PHONY: (.+)$", makefile, flags=re.MULTILINE)[0].split()
    listed = subprocess.run(["make"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert re.findall(r"^  make (\w+) +\w", listed, flags=re.MULTILINE) == targets


def make(venv: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Call make with an environment that counts as installed."""
    venv.mkdir(exist_ok=True)
    (venv / "installed").touch()
    command = ["make", f"VENV={venv}", *words]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_train_packs_the_archives_that_it_is_given(tmp_path: Path) -> None:
    words = ["--dry-run", "train", f"ARCHIVES={tmp_path}", "CONFIG=resnet50.yaml"]
    lines = make(tmp_path / "venv", *words).stdout.splitlines()
    pack = next(n for n, line in enumerate(lines) if f"pack '{tmp_path}'/*.tar" in line)
    fit = next(n for n, line in enumerate(lines) if "fit --config resnet50.yaml" in line)
    assert pack < fit
    assert lines[fit].endswith("--data.root data/places")


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_data_without_archives_says_what_is_missing(tmp_path: Path) -> None:
    done = make(tmp_path / "venv", "data", f"ARCHIVES={tmp_path}")
    assert done.returncode == 2
    assert done.stderr.startswith(
        f"places: error: no archives (*.tar) in {tmp_path}\n"
        f"  get them:  {tmp_path}/venv/bin/places download standard-256 "
    )


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize("target", ["docs", "data", "leaderboard", "install", "lint"])
def test_another_checkouts_environment_is_neither_used_nor_taken_over_unasked(
    tmp_path: Path, target: str
) -> None:
    first, second, venv = tmp_path / "the first", tmp_path / "second", tmp_path / "venv"
    for checkout in (first, second):
        (checkout / "scripts").mkdir(parents=True)
        for name in ("Makefile", "requirements.txt", "pyproject.toml"):
            shutil.copy(ROOT / name, checkout)
        shutil.copy(ROOT / "scripts" / "owner.sh", checkout / "scripts")
        # Notes what pip would: no network in tests.
        (checkout / "scripts" / "install.sh").write_text(_INSTALL)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    command = ["make", f"VENV={venv}", f"PYTHON={sys.executable}"]

    def call(checkout: Path, *words: str) -> tuple[int, str]:
        done = subprocess.run(
            [*command, *words], cwd=checkout, check=False, capture_output=True, text=True
        )
        return done.returncode, done.stderr

    assert call(first, "install") == call(first, "install") == (0, "")
    status, said = call(second, target)
    assert status == 2
    assert said.splitlines()[:3] == [
        f"places: error: {venv} is the environment of {first}",
        f"  one of its own:  make install VENV={second}/.venv",
        "  take it over:    make install TAKE_OVER=yes",
    ]
    assert (venv / "log").read_text().splitlines() == [str(first)]
    assert call(second, "install", "TAKE_OVER=yes") == call(second, "install") == (0, "")
    assert call(first, "install")[0] == 2
    shutil.rmtree(second)
    assert call(first, "install") == (0, ""), "the other one has gone"
    assert (venv / "log").read_text().splitlines() == [str(first), str(second), str(first)]


# What `pip install --editable .` leaves of the checkout, and a list of who was installed.
_INSTALL = """\
pwd >> "$2/log"
"$2/bin/python" - <<END
import json, pathlib, sysconfig
folder = pathlib.Path(sysconfig.get_path("purelib"), "places-0.dist-info")
folder.mkdir(exist_ok=True)
(folder / "METADATA").write_text("Metadata-Version: 2.1\\nName: places\\nVersion: 0\\n")
url = {"url": pathlib.Path.cwd().as_uri(), "dir_info": {"editable": True}}
(folder / "direct_url.json").write_text(json.dumps(url))
END
"""


def summary(runs: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "summary.py"), str(runs)]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def test_the_summary_names_the_newest_scores_and_files(tmp_path: Path) -> None:
    fit, test, predict = (tmp_path / "demo" / str(number) for number in range(3))
    for folder in (fit, test, predict):
        folder.mkdir(parents=True)
    (fit / "curves.png").touch()
    (fit / "report.html").touch()
    result = {
        "scores": {"top1": 0.9125, "top5": 1.0},
        "num_images": 1600,
        "data": {"split": "val", "synthetic": True},
    }
    (test / "result.json").write_text(json.dumps(result), encoding="utf-8")
    (test / "report.html").touch()
    os.utime(fit / "report.html", (0, 0))
    rows = "path,category_1,error\na.jpg,beach,\nb.jpg,,cut off\n"
    (predict / "predictions.csv").write_text(rows, encoding="utf-8")
    lines = summary(tmp_path).stdout.splitlines()
    assert (
        lines[1] == "Scored 1,600 synthetic pictures of the split val: top-1 91.25%, top-5 100.00%"
    )
    assert lines[2] == "Classified 2 pictures, 1 of them unreadable"
    assert [line.split()[0] for line in lines[4:]] == [
        str(fit / "curves.png"),
        str(test / "result.json"),
        str(predict / "predictions.csv"),
        str(test / "report.html"),
    ]


def test_the_summary_of_no_runs_says_so(tmp_path: Path) -> None:
    done = summary(tmp_path)
    assert (done.returncode, done.stderr) == (1, f"no finished run in {tmp_path}\n")
