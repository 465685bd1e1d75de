import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from tests.cli.configs.repository import (
    change,
    commit,
    git,
    inside_repository,
    state,
)

from places.cli.main import main
from places.config.changes.as_json import SCHEMA
from places.config.changes.as_markdown import MARKER

MODULE = "networks_of_the_pull_request"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with inside_repository(tmp_path, MODULE, monkeypatch) as folder:
        yield folder


@pytest.mark.slow
def test_the_markdown_names_each_change_its_cause_and_its_group(
    repository: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    # A key, a default in Python that all recipes share, and a class path; one commit, one not.
    change(repository / "configs" / "one.yaml", "max_epochs: 90", "max_epochs: 60")
    change(repository / f"{MODULE}.py", "width: int = 8", "width: int = 16")
    commit(repository, "head")
    change(repository / "configs" / "two.yaml", "torch.optim.SGD", "torch.optim.AdamW")
    change(repository / "configs" / "two.yaml", ", momentum: 0.9", "")
    change(
        repository / "configs" / "two.yaml", "  max_epochs: 90", "  max_epochs: 90\n  devices: 1"
    )
    (repository / "configs" / "new.yaml").write_text("trainer: {max_epochs: 3}\n")
    before = state(repository)
    files = tmp_path / "files"
    words = ["--base", "HEAD~1", "--format", "markdown", "--files", str(files)]
    assert main(["config", "diff", *words, "--fail_on", "results"]) == 3
    output = capsys.readouterr().out
    assert state(repository) == before
    assert output.startswith(MARKER)
    changed, _, new = output.partition("#### configs/new.yaml: new, shown beside configs/")
    assert "| ~ `trainer.max_epochs` |" in new
    rows = [line for line in changed.splitlines() if line.startswith("|")]

    def row(key: str) -> str:
        found = [line for line in rows if f" `{key}` " in line]
        assert len(found) == 1, (key, rows)
        return found[0]

    line = 1 + (repository / "configs" / "one.yaml").read_text().splitlines().index(
        "  max_epochs: 60"
    )
    assert f"| `90` | `60` | **written**: `configs/one.yaml:{line}` |" in row("trainer.max_epochs")
    # The default is told once, for all three, with the line in Python.
    width = row("model.net.width")
    assert f"| `8` | `16` | **implied**: `default of {MODULE}.Small(width) in Python" in width
    assert f"{MODULE}.py:5`" in width
    assert "#### 3 recipes alike" in output
    optimizer = row("model.optimizer.class_path")
    assert (
        "| `torch.optim.SGD` | `torch.optim.AdamW` | **written**: `configs/two.yaml:6` |"
        in optimizer
    )
    assert "**implied**: `default of torch.optim.AdamW`" in row("model.optimizer.betas")
    groups = output[output.index("#### configs/two.yaml") :]
    assert groups.index("**results**") < groups.index(optimizer) < groups.index("**speed**")
    assert "configs/two.yaml:13" in groups[groups.index("**speed**") :]

    saved = json.loads((files / "config-diff.json").read_text())
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(saved)
    assert saved["exit_status"] == 3
    one = next(recipe for recipe in saved["recipes"] if recipe["path"] == "configs/one.yaml")
    found = {change["key"]: change for change in one["changes"]}
    assert found["trainer.max_epochs"]["source"] == {"file": "configs/one.yaml", "line": line}
    assert found["trainer.max_epochs"]["group"] == "results"
    assert found["model.net.width"]["why"] == "implied"
    steps = 1_803_460 // 64
    assert one["derived"]["steps"] == [90 * steps, 60 * steps]
    assert one["derived"]["global_batch"] == [64, 64]
    assert one["derived"]["peak_lr_per_256"] == [0.4, 0.4]
    # By hand: convolution and linear layer, weights and biases.
    parameters = [3 * 9 * width + width + 365 * width + 365 for width in (8, 16)]
    assert one["derived"]["parameters"] == parameters
    # 8 x 8 places of the convolution at 64 pixels.
    multiply_adds = [8 * 8 * 27 * width + 365 * width for width in (8, 16)]
    assert one["derived"]["multiply_adds"] == multiply_adds
    assert git(repository, "worktree", "list").count("\n") == 1


def test_what_came_went_was_renamed_or_is_broken_is_told(
    repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    configs = repository / "configs"
    (configs / "one.yaml").rename(configs / "renamed.yaml")
    (configs / "two.yaml").unlink()
    change(configs / "three.yaml", "max_epochs", "max_epoch")
    (configs / "new.yaml").write_text("# all its own\ndata: {batch_size: 8}\n")
    (configs / "overlays").mkdir()
    # As in a hook of git, where every git would write into this index.
    monkeypatch.setenv("GIT_INDEX_FILE", str(repository / ".git" / "index"))
    monkeypatch.chdir(configs)
    before = state(repository)
    assert main(["config", "diff", "--base", "main", "--format", "json"]) == 2
    report = json.loads(capsys.readouterr().out)
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(report)
    assert state(repository) == before
    found = {recipe["path"]: recipe for recipe in report["recipes"]}
    assert {path: recipe["status"] for path, recipe in found.items()} == {
        "configs/new.yaml": "added",
        "configs/renamed.yaml": "renamed",
        "configs/three.yaml": "invalid",
        "configs/two.yaml": "removed",
    }
    assert found["configs/renamed.yaml"]["old_path"] == "configs/one.yaml"
    assert found["configs/renamed.yaml"]["changes"] == []
    (problem, *_) = found["configs/three.yaml"]["problems"]["after"]
    assert problem == "no option 'trainer.max_epoch'"
    assert found["configs/three.yaml"]["problems"]["before"] == []
    assert report["exit_status"] == 2
    assert report["summary"] == {
        **dict.fromkeys(("results", "speed", "output"), 0),
        "different": 4,
        "invalid": 1,
    }
    # Nothing at all is different.
    git(repository, "stash", "--include-untracked", "--quiet")
    assert main(["config", "diff", "--base", "HEAD"]) == 0
    assert main(["config", "diff", "--base", "nowhere"]) == 2
    assert "no revision 'nowhere'" in capsys.readouterr().err


def test_nothing_is_left_of_a_command_that_is_killed(repository: Path, tmp_path: Path) -> None:
    change(repository / f"{MODULE}.py", "width: int = 8", "width: int = 16")
    before = state(repository)
    command = [sys.executable, "-m", "places", "config", "diff", "--base", "HEAD"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    for number in (signal.SIGKILL, signal.SIGTERM):
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        while not list(tmp_path.glob("places-config-diff-*/configs/two.yaml")):
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(number)
        process.wait()
        # Git removes the folder first, and then what it knows of it.
        for _ in range(500):
            if not list(tmp_path.glob("places-config-diff-*")) and state(repository) == before:
                break
            time.sleep(0.02)
        assert not list(tmp_path.glob("places-config-diff-*"))
        assert state(repository) == before


@pytest.mark.slow
def test_a_recipe_of_a_revision_is_resolved_by_its_own_code(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(repository / f"{MODULE}.py", "width: int = 8", "width: int = 16")
    change(repository / f"{MODULE}.py", "act: bool", "new: bool")
    before = state(repository)
    assert main(["config", "show", "HEAD:one", "--origin", "--format", "json"]) == 0
    table = json.loads(capsys.readouterr().out)
    assert table["model.net.width"] == {"value": 8, "origin": "default"}
    assert table["model.net.class_path"]["origin"] == "HEAD:configs/one.yaml:4"
    words = ["HEAD:configs/one.yaml", "one.yaml", "--format", "json"]
    assert main(["config", "diff", *words]) == 1
    (recipe,) = json.loads(capsys.readouterr().out)["recipes"]
    found = {change["key"]: change for change in recipe["changes"]}
    assert found.keys() == {"model.net.width", "model.net.act", "model.net.new"}
    assert (found["model.net.width"]["old"], found["model.net.width"]["new"]) == (8, 16)
    assert found["model.net.width"]["why"] == "implied"
    assert state(repository) == before
    assert main(["config", "show", "HEAD:nothing.yaml"]) == 2
    assert "no recipe 'nothing.yaml' in revision HEAD" in capsys.readouterr().err
    assert state(repository) == before
