"""Recipes of revisions: which ones are named, and code of theirs that cannot be run."""

import io
import json
import os
import runpy
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.configs.repository import (
    change,
    commit,
    git,
    inside_repository,
    state,
)

from places.cli.configs import worker
from places.cli.configs.pull_request import compare_pull_request
from places.cli.main import main
from places.config.changes.as_json import as_annotations
from places.config.changes.as_text import as_text

MODULE = "networks_of_revisions"
NO_PROCESS = 2**22 + 1  # more than any process of Linux may have


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with inside_repository(tmp_path, MODULE, monkeypatch) as folder:
        yield folder


def _paths(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, str]:
    """Return what is different, by its path."""
    assert main(["config", "diff", "--base", "HEAD", *words, "--format", "json"]) in (0, 1)
    recipes = json.loads(capsys.readouterr().out)["recipes"]
    return {x["path"]: x["status"] for x in recipes if x["status"] != "same"}


def test_only_the_recipes_that_are_named_are_compared(
    repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two", "three"):
        (repository / "configs" / f"{name}.yaml").unlink()
    (repository / "docs").mkdir()
    (repository / "docs" / "text.md").write_text("# no recipe\n")
    gone = {f"configs/{name}.yaml": "removed" for name in ("one", "two", "three")}
    assert _paths(capsys) == _paths(capsys, "configs") == gone
    assert _paths(capsys, "configs/three.yaml") == {"configs/three.yaml": "removed"}
    monkeypatch.chdir(repository / "configs")
    del gone["configs/three.yaml"]
    assert _paths(capsys, "one.yaml", "two.yaml") == gone

    outside = repository.parent / "other.yaml"
    outside.write_text("data: {batch_size: 8}\n")
    for words, message in (
        ([str(outside)], f"{outside} is not in the repository {repository}"),
        (["../../other.yaml"], f"../../other.yaml is not in the repository {repository}"),
        (["four.yaml"], "four.yaml is neither here nor in that revision"),
        (["../docs"], "no recipes in docs, neither now nor in HEAD"),
    ):
        assert main(["config", "diff", "--base", "HEAD", *words]) == 2
        assert message in capsys.readouterr().err


def test_all_that_became_of_recipes_is_told_in_words_and_beside_their_lines(
    repository: Path,
) -> None:
    configs = repository / "configs"
    (configs / "overlays").mkdir()
    overlay = configs / "overlays" / "fast.yaml"
    overlay.write_text("model:\n  compile: false\n")
    commit(repository, "an overlay")
    for name in ("one", "three"):
        change(configs / f"{name}.yaml", "max_epochs: 90", "max_epochs: 60")
    (configs / "two.yaml").rename(configs / "renamed.yaml")
    overlay.write_text("model:\n  compile: true\n")
    (configs / "broken.yaml").write_text("trainer:\n  max_epoch: 3\n")
    report = compare_pull_request("HEAD", (), "fit", None, "places config diff --base HEAD")
    assert report.exit_status == 2
    lines = [line for line, _ in as_text(report)]
    alike = lines.index("2 recipes alike")
    assert lines[alike + 1] == "  configs/one.yaml, configs/three.yaml"
    assert "configs/renamed.yaml: renamed, was configs/two.yaml" in lines
    broken = next(n for n, line in enumerate(lines) if line.startswith("configs/broken.yaml:"))
    assert lines[broken + 1] == "  now: no option 'trainer.max_epoch'"
    # Of a recipe that others build upon only what is written counts.
    at = next(n for n, line in enumerate(lines) if line.startswith("configs/overlays/fast.yaml"))
    end = lines.index("", at) if "" in lines[at:] else None
    (row,) = (line for line in lines[at:end] if line.lstrip().startswith(("~", "+", "-")))
    assert row.split()[:5] == ["~", "model.compile", "false", "->", "true"]

    notes = list(as_annotations(report))
    line = 1 + (configs / "one.yaml").read_text().splitlines().index("  max_epochs: 60")
    title = "title=results of configs/one.yaml"
    assert any(
        note.startswith(f"::warning file=configs/one.yaml,line={line},{title}::") for note in notes
    )
    start = "::error file=configs/broken.yaml,title=config::"
    (first, *_) = (note for note in notes if note.startswith("::error"))
    assert first == f"{start}no option 'trainer.max_epoch'"


def test_a_branch_without_a_common_history_is_compared_with_the_revision_itself(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    git(repository, "checkout", "--quiet", "--orphan", "lonely")
    change(repository / "configs" / "one.yaml", "max_epochs: 90", "max_epochs: 60")
    commit(repository, "of nothing before")
    assert main(["config", "diff", "--base", "main", "--format", "json"]) == 1
    report = json.loads(capsys.readouterr().out)
    (recipe,) = (x for x in report["recipes"] if x["status"] != "same")
    (epochs,) = recipe["changes"]
    assert (epochs["key"], epochs["old"], epochs["new"]) == ("trainer.max_epochs", 90, 60)


def test_what_a_killed_command_left_behind_is_removed_by_the_next(
    repository: Path, tmp_path: Path
) -> None:
    before = state(repository)
    left = tmp_path / f"places-config-diff-{NO_PROCESS}-abc"
    at_work = tmp_path / f"places-config-diff-{os.getpid()}-abc"  # of a process that is alive
    for folder in (left, at_work):
        git(repository, "worktree", "add", "--quiet", "--detach", str(folder))
    assert main(["config", "diff", "--base", "HEAD"]) == 0
    assert not left.exists()
    assert at_work.is_dir()
    git(repository, "worktree", "remove", str(at_work))
    assert state(repository) == before


def test_without_git_the_reason_is_told(
    repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(repository))
    assert main(["config", "diff", "--base", "HEAD"]) == 2
    assert capsys.readouterr().err == (
        "places: error: git is not installed\n  install it: revisions are read with it\n"
    )


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        (
            "raise RuntimeError(f'no such thing in {__file__}')",
            ["RuntimeError: no such thing in src"],
        ),
        (
            "import os\nos.write(2, b'no such library\\n')\nos._exit(3)",
            ["the code of that revision cannot be run here", "no such library"],
        ),
        (
            "import os\nos._exit(3)",
            ["the code of that revision cannot be run here", "it ended without a word"],
        ),
    ],
)
def test_code_of_a_revision_that_cannot_be_run_is_told(
    repository: Path, capsys: pytest.CaptureFixture[str], code: str, lines: list[str]
) -> None:
    # A checkout of places itself, as this one is not: both sides are run by their own code.
    package = repository / "src" / "places"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(code + "\n")
    commit(repository, "code that does not run")
    (package / "more.py").write_text("")
    before = state(repository)
    assert main(["config", "diff", "--base", "HEAD", "configs/one.yaml", "--format", "json"]) == 2
    (recipe,) = json.loads(capsys.readouterr().out)["recipes"]
    for side in ("before", "after"):
        found = recipe["problems"][side]
        assert [line[: len(start)] for line, start in zip(found, lines, strict=True)] == lines
        assert not any("places-config-diff" in line for line in found)  # a folder of no user
    assert state(repository) == before


def test_the_worker_answers_each_line_with_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "recipe.yaml").write_text("data:\n  batch_size: 24\n")
    (tmp_path / "bad.yaml").write_text("data:\n  batch: 24\n")
    asked = {"stage": "fit", "files": ["recipe.yaml"], "flags": ["--trainer.max_epochs", "7"]}
    net = {"class_path": "somebody.Net", "init_args": {"pretrained": True}}
    requests = [
        asked,
        asked | {"files": ["bad.yaml"]},
        asked | {"flags": ["--help"]},  # ends a command, but not who answers
        {"stage": "fit"},
        {"net": net, "num_classes": 365, "image_size": 64},
    ]
    reading, writing = os.pipe()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as log, os.fdopen(reading, encoding="utf-8") as answers:
        try:
            monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(map(json.dumps, requests))))
            monkeypatch.setattr(sys, "argv", ["worker.py", str(writing), str(log.fileno())])
            runpy.run_path(worker.__file__, run_name="__main__")
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
        found = [json.loads(line) for line in answers]
    config = found[0]["config"]
    assert config["data"]["init_args"]["batch_size"] == 24
    assert config["trainer"]["max_epochs"] == 7
    assert [answer.get("problem", [""])[0] for answer in found[1:]] == [
        "no option 'data.batch'",
        "0",
        "KeyError: 'files'",
        "ValueError: it would be downloaded",
    ]
