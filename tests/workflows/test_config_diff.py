"""The shell steps of the workflows that tell what a pull request changes, run as they stand."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cli.configs.repository import change, commit, make_repository

ROOT = Path(__file__).parents[2]
WORKFLOWS = ROOT / ".github" / "workflows"
MARKER = "<!-- places-config-diff -->"


def _steps(name: str, job: str) -> dict[str, dict[str, Any]]:
    workflow = yaml.safe_load((WORKFLOWS / name).read_text())
    steps = workflow["jobs"][job]["steps"]
    return {step["name"]: step for step in steps if "name" in step}


def _run(step: dict[str, Any], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a step as a runner does, with the variables that it is given."""
    assert set(step.get("env", {})) <= set(variables)
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_no_workflow_gives_rights_to_the_code_of_a_pull_request() -> None:
    for path in WORKFLOWS.glob("*.yml"):
        workflow = yaml.safe_load(path.read_text())
        triggers = workflow[True]  # YAML 1.1 takes `on` for true
        assert "pull_request_target" not in triggers
        for job in workflow["jobs"].values():
            rights = job.get("permissions", workflow["permissions"])
            if "pull_request" in triggers:
                assert set(rights.values()) <= {"read"}, path
            for step in job["steps"]:
                action = step.get("uses")
                assert action is None or len(action.partition("@")[2]) == 40, action
                if action and action.startswith("actions/checkout"):
                    assert step["with"]["persist-credentials"] is False
                # What others choose, such as the name of a branch, reaches a shell as a variable.
                assert "${{" not in step.get("run", "")
    comment = yaml.safe_load((WORKFLOWS / "config-diff-comment.yml").read_text())
    assert comment[True]["workflow_run"]["workflows"] == ["config-diff"]
    assert not any("ref" in s.get("with", {}) for s in comment["jobs"]["comment"]["steps"])


@pytest.mark.no_cover
@pytest.mark.slow
def test_the_steps_leave_what_the_comment_needs(tmp_path: Path) -> None:
    folder = tmp_path / "repository"
    folder.mkdir()
    base = make_repository(folder, "networks_of_the_workflow")
    change(folder / "configs" / "one.yaml", "max_epochs: 90", "max_epochs: 60")
    commit(folder, "head")
    program = folder / ".venv" / "bin" / "places"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m places "$@"\n')
    program.chmod(0o755)
    summary = tmp_path / "summary"
    variables = {
        "BASE": base,
        "NUMBER": "12",
        "GITHUB_STEP_SUMMARY": str(summary),
        "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{folder}",
    }
    steps = _steps("config-diff.yml", "diff")
    found = _run(steps["diff"], folder, **variables)
    assert found.returncode == 0, found.stderr
    assert "::warning file=configs/one.yaml,line=12," in found.stdout
    assert (folder / "config-diff" / "number").read_text() == "12\n"
    text = (folder / "config-diff" / "config-diff.md").read_text()
    assert text == summary.read_text()
    assert text.startswith(MARKER)
    assert "`trainer.max_epochs` | `90` | `60`" in text
    change(folder / "configs" / "two.yaml", "max_epochs", "max_epoch")
    found = _run(steps["check"], folder, **variables)
    assert found.returncode == 1
    assert "::error file=configs/two.yaml,line=12," in found.stdout


class _GitHub(BaseHTTPRequestHandler):
    """As much of GitHub's interface as the step asks."""

    comments: list[dict[str, Any]]
    head = "a" * 40
    tokens: set[str | None]

    def _answer(self, content: object) -> None:
        data = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _body(self) -> dict[str, str]:
        content: dict[str, str] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        return content

    def do_GET(self) -> None:
        self.tokens.add(self.headers["Authorization"])
        if "/pulls/" in self.path:
            assert self.path == "/repos/o/r/pulls/12"
            self._answer({"head": {"sha": self.head}, "state": "open"})
            return
        path, _, page = self.path.partition("?per_page=100&page=")
        assert path == "/repos/o/r/issues/12/comments"
        first = 100 * (int(page) - 1)
        self._answer(self.comments[first : first + 100])

    def do_POST(self) -> None:
        assert self.path == "/repos/o/r/issues/12/comments"
        number = len(self.comments)
        author = {"login": "github-actions[bot]"}
        self.comments.append({"id": number, "user": author, "body": self._body()["body"]})
        self._answer(self.comments[-1])

    def do_PATCH(self) -> None:
        number = int(self.path.removeprefix("/repos/o/r/issues/comments/"))
        self.comments[number]["body"] = self._body()["body"]
        self._answer(self.comments[number])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def github() -> Iterator[tuple[type[_GitHub], dict[str, str]]]:
    class Handler(_GitHub):
        comments: list[dict[str, Any]] = []  # noqa: RUF012  # of one test
        tokens: set[str | None] = set()  # noqa: RUF012  # of one test

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield (
        Handler,
        {
            "GITHUB_API_URL": f"http://127.0.0.1:{server.server_port}",
            "GITHUB_REPOSITORY": "o/r",
            "GITHUB_TOKEN": "token-of-the-test",
            "HEAD_SHA": Handler.head,
        },
    )
    server.shutdown()
    thread.join()
    server.server_close()


def test_one_comment_is_written_and_replaced(
    github: tuple[type[_GitHub], dict[str, str]], tmp_path: Path
) -> None:
    handler, variables = github
    step = _steps("config-diff-comment.yml", "comment")["comment"]
    folder = tmp_path / "config-diff"
    folder.mkdir()
    (folder / "number").write_text("12\n")
    # Somebody else's comment that looks like ours, and many others before.
    other = {"user": {"login": "somebody"}, "body": f"{MARKER} mine"}
    handler.comments += [{"id": n, **other} for n in range(120)]
    (tmp_path / "scripts").symlink_to(ROOT / "scripts")
    for text in ("first", "second"):
        (folder / "config-diff.md").write_text(f"{MARKER}\n### {text}\n\n| a | `b` |\n")
        found = _run(step, tmp_path, **variables)
        assert found.returncode == 0, found.stderr
    assert [c["body"] for c in handler.comments[:120]] == [other["body"]] * 120
    (ours,) = handler.comments[120:]
    assert ours["body"] == f"{MARKER}\n### second\n\n| a | `b` |\n"
    assert handler.tokens == {"Bearer token-of-the-test"}
    # The branch went on meanwhile: its own run will tell.
    (folder / "config-diff.md").write_text(f"{MARKER}\nthird\n")
    found = _run(step, tmp_path, **{**variables, "HEAD_SHA": "b" * 40})
    assert found.returncode == 0
    assert "second" in handler.comments[120]["body"]


def test_what_a_pull_request_wrote_does_no_harm(
    github: tuple[type[_GitHub], dict[str, str]], tmp_path: Path
) -> None:
    handler, variables = github
    step = _steps("config-diff-comment.yml", "comment")["comment"]
    folder = tmp_path / "config-diff"
    folder.mkdir()
    (tmp_path / "scripts").symlink_to(ROOT / "scripts")
    (folder / "number").write_text("12\n")
    secret = tmp_path / "secret"
    secret.write_text(f"{MARKER} secret")
    (folder / "config-diff.md").symlink_to(secret)
    assert _run(step, tmp_path, **variables).returncode != 0
    (folder / "config-diff.md").unlink()
    for text in ("no marker", MARKER + "x" * 300_000):
        (folder / "config-diff.md").write_text(text)
        assert _run(step, tmp_path, **variables).returncode != 0
    (folder / "config-diff.md").write_text(f"{MARKER}\nx")
    for number in ("0", "12/../../../user", "12\n13", ""):
        (folder / "number").write_text(number)
        assert _run(step, tmp_path, **variables).returncode != 0
    assert handler.comments == []
    (folder / "number").write_text("12")
    harm = (
        "@everybody ![x](https://evil.example/x.png) [log in](http://evil.example) <img src=x>\n"
        "[a]: http://evil.example\n<script>1</script> www.evil.example \u202e\n"
        "<details><summary>a</summary>\n</details>\n"
    )
    (folder / "config-diff.md").write_text(f"{MARKER}\n{harm}{'x' * 70_000}")
    assert _run(step, tmp_path, **variables).returncode == 0
    body = handler.comments[0]["body"]
    for bad in ("@everybody", "](", "]:", "<img", "<script", "http:", "https:", "www.", "\u202e"):
        assert bad not in body
    assert "<details><summary>a</summary>" in body
    assert len(body) < 65_536
