"""Reports for W&B, by the real client, against a server on loopback that answers as W&B does."""

import base64
import io
import json
import shutil
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.reports.tracking.tracked import Runs, metrics_of

from places.cli.main import main
from places.reports.page.scores import scores_in
from places.reports.run_facts import read_run

pytest.importorskip("wandb_workspaces")

KEY = "0123456789" * 4
PROJECT = "me/places"


class Server(ThreadingHTTPServer):
    """What the client needs of W&B, and what it asked."""

    is_refusing = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.keys: set[str] = set()

    def answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        """Return the data of an answer."""
        if "upsertView" in query:
            project = {"id": "1", "name": variables["projectName"]}
            project["entityName"] = variables["entityName"]
            view = {key: variables[key] for key in ("type", "name", "displayName", "description")}
            view |= {"id": "Vmlldzox", "project": project, "spec": variables["spec"]}
            view["updatedAt"] = "2026-11-26T00:00:00"
            return {"upsertView": {"view": view, "inserted": True}}
        if "viewer" in query:
            teams = {"edges": [{"node": {"name": "me"}}]}
            viewer = {"id": "1", "entity": "me", "username": "me", "flags": "{}", "teams": teams}
            return {"viewer": viewer}
        pages = {"edges": [], "pageInfo": {"hasNextPage": False, "endCursor": None}}
        return {"models": pages} if "models" in query else {}


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        """Answer a question in GraphQL; what else is sent is about the client itself."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, answer = 404, b"{}"
        if self.path == "/graphql":
            question = json.loads(body)
            query, variables = question["query"], question.get("variables") or {}
            self.server.asked.append((query, variables))
            self.server.keys.add(
                base64.b64decode(self.headers["Authorization"].split()[1]).decode()
            )
            status = 403 if self.server.is_refusing else 200
            answer = json.dumps({"data": self.server.answer(query, variables)}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    import wandb

    wandb.teardown()  # its service remembers the address
    with Server() as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{found.server_port}")
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        monkeypatch.setenv("WANDB_MODE", "online")
        monkeypatch.setenv("HOME", str(tmp_path))
        yield found
        found.shutdown()
    wandb.teardown()


def _texts(spec: dict[str, Any]) -> str:
    return "\n".join(block.get("content", "") for block in spec["blocks"])


def _json(tmp_path: Path, *words: object) -> dict[str, Any]:
    """Return what would be sent of a report."""
    file = tmp_path / "report.json"
    words = ("report", *words, "--wandb", PROJECT, "--wandb_json", file)
    assert main(list(map(str, words))) == 0
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


@pytest.mark.slow
def test_what_is_sent_is_what_would_be_written(
    runs: Runs, tmp_path: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = (runs.first, runs.tested)
    written = _json(tmp_path, *folders)
    assert not server.asked
    capsys.readouterr()
    assert main(["report", *map(str, folders), "--wandb", PROJECT]) == 0
    out = capsys.readouterr().out
    address = f"http://127.0.0.1:{server.server_port}/me/places/reports/"
    assert out == f"{address}places:-tracked-0-and-tracked-2--Vmlldzox\n"
    assert server.keys == {f"api:{KEY}"}
    assert any("upsertModel" in query for query, _ in server.asked)  # the project is new
    ((_, sent),) = [pair for pair in server.asked if "upsertView" in pair[0]]
    assert sent["id"] is None
    spec = json.loads(sent.pop("spec"))
    for key in ("entityName", "projectName", "displayName", "description", "type"):
        assert sent[key] == written[key]
    assert _without_ids(spec) == _without_ids(written["spec"])


def _without_ids(value: object) -> object:
    """Return a spec without the names that the client draws for its parts."""
    if isinstance(value, dict):
        return {k: _without_ids(v) for k, v in value.items() if k not in ("id", "__id__", "name")}
    return list(map(_without_ids, value)) if isinstance(value, list) else value


@pytest.mark.slow
def test_a_report_has_the_numbers_of_the_runs(runs: Runs, tmp_path: Path) -> None:
    spec = _json(tmp_path, runs.first, runs.second, runs.tested)["spec"]
    text = _texts(spec).replace("\\", "")
    headings = [b["children"][0]["text"] for b in spec["blocks"] if b["type"] == "heading"]
    assert headings == [
        "Scores",
        "Curves",
        "What differs in the configs",
        "Where the time went",
        "Pictures",
        "What was run",
    ]
    result = json.loads((runs.tested / "result.json").read_text(encoding="utf-8"))
    low, high = result["intervals"]["top1"]
    assert f"{result['scores']['top1']:.2%} ({low:.2%} to {high:.2%})" in text
    last = metrics_of(runs.second)["val/top1"][-1][1]
    assert f"{last:.2%} (" in text
    assert "| trainer.max_epochs | 2 | 3 | " in text
    for part in ("waiting for data", "forward", "backward", "whole run", "memory, host"):
        assert f"| {part} |" in text
    assert len(str(result["config_hash"])) == 64
    assert result["config_hash"] in text


@pytest.mark.slow
def test_curves_are_live_where_runs_were_logged(runs: Runs, tmp_path: Path) -> None:
    spec = _json(tmp_path, runs.first, runs.tested)["spec"]
    curves, media = (b["metadata"] for b in spec["blocks"] if b["type"] == "panel-grid")
    panels = curves["panelBankSectionConfig"]["panels"]
    lines = [p["config"] for p in panels if p["viewType"] == "Run History Line Plot"]
    shown = {name for line in lines for name in line["metrics"]}
    logged = {name for row in runs.wandb[0].history for name in row}
    assert {"val/top1", "val/loss", "train/loss", "train/learning_rate"} <= shown <= logged
    assert {"time/images_per_second", "time/waiting_share", "memory/process_gib"} <= shown
    assert {line["xAxis"] for line in lines} == {"trainer/global_step"}
    bars = {p["config"]["metrics"][0] for p in panels if p["viewType"] == "Bar Chart"}
    assert bars <= runs.wandb[0].summary.keys()
    keys = [k for p in media["panelBankSectionConfig"]["panels"] for k in p["config"]["mediaKeys"]]
    logged |= {name for row in runs.wandb[2].history for name in row}
    assert {*keys} <= logged
    for grid in (curves, media):
        (runset,) = grid["runSets"]
        text = json.dumps(runset["filters"])
        assert {runs.wandb[0].run.run_id, runs.wandb[2].run.run_id} <= {*text.split('"')}
        places = [json.dumps(p["layout"]) for p in grid["panelBankSectionConfig"]["panels"]]
        assert len({*places}) == len(places)


@pytest.mark.slow
def test_pictures_are_whole_and_captioned(runs: Runs, tmp_path: Path) -> None:
    spec = _json(tmp_path, runs.first, runs.tested)["spec"]
    images = [block for block in spec["blocks"] if block["type"] == "image"]
    captions = [image["children"][0]["text"] for image in images]
    for words in ("val/top1", "val/loss", "when it is so sure", "for what", "where the time went"):
        assert any(words in caption for caption in captions), captions
    assert "tracked/2: most confidently wrong" in captions
    for image in images:
        kind, _, data = image["url"].partition(",")
        assert kind == "data:image/png;base64"
        with Image.open(io.BytesIO(base64.b64decode(data, validate=True))) as picture:
            assert len(np.unique(np.asarray(picture))) > 20
    assert len(json.dumps(spec)) < 5_000_000


@pytest.mark.slow
def test_names_in_a_run_are_no_markdown(runs: Runs, tmp_path: Path) -> None:
    folder = tmp_path / "<b>|*runs*" / "0"
    shutil.copytree(runs.tested, folder, ignore=shutil.ignore_patterns("wandb", "mlruns"))
    text = _texts(_json(tmp_path, folder)["spec"])
    assert r"&lt;b&gt;\|\*runs\*/0" in text
    assert "<b>" not in text


def test_a_run_without_wandb_has_pictures_for_curves(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "plain" / "0"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("# places fit\n{}\n")
    (folder / "metrics.csv").write_text("step,epoch,val/top1\n0,0,0.25\n4,1,0.5\n")
    spec = _json(tmp_path, folder)["spec"]
    assert not [block for block in spec["blocks"] if block["type"] == "panel-grid"]
    assert [b["children"][0]["text"] for b in spec["blocks"] if b["type"] == "image"] == [
        "val/top1"
    ]
    assert "were not logged to Weights & Biases" in _texts(spec)
    assert read_run(folder).curves["val/top1"] == [(0, 0.25), (4, 0.5)]


@pytest.mark.parametrize("project", ["places", "/places", "me/", "me/places/more", ""])
def test_a_project_has_an_owner(
    project: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "runs" / "plain" / "0"
    folder.mkdir(parents=True)
    (folder / "metrics.csv").write_text("step,epoch,val/top1\n0,0,0.25\n")
    assert main(["report", str(folder), f"--wandb={project}"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("places: error: --wandb takes ENTITY/PROJECT")
    assert not (folder / "report.html").exists()


def test_what_goes_wrong_is_told_in_few_lines(
    tmp_path: Path,
    server: Server,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "runs" / "plain" / "0"
    folder.mkdir(parents=True)
    (folder / "metrics.csv").write_text("step,epoch,val/top1\n0,0,0.25\n")
    assert main(["report", str(folder), "--wandb_json", "out.json"]) == 2
    assert "--wandb ENTITY/PROJECT" in capsys.readouterr().err
    server.is_refusing = True
    assert main(["report", str(folder), "--wandb", PROJECT]) == 2
    lines = capsys.readouterr().err.splitlines()
    error = lines[next(n for n, line in enumerate(lines) if line.startswith("places: error")) :]
    assert error[0].startswith("places: error: Weights & Biases took no report: ")
    assert 2 <= len(error) <= 4
    monkeypatch.setitem(sys.modules, "wandb_workspaces.reports.v2", None)
    assert main(["report", str(folder), "--wandb", PROJECT]) == 2
    assert capsys.readouterr().err == (
        "places: error: --wandb needs a package that is not installed:  "
        "pip install 'places[report]'\n"
    )


def test_scores_are_those_of_the_page() -> None:
    content = {
        "scores": {"top1": 0.5, "loss": 1.25},
        "intervals": {"top1": [0.4, 0.6]},
    }
    assert [(s.label, s.text, s.interval_text) for s in scores_in(content)] == [
        ("top-1", "50.00%", "40.00% to 60.00%"),
        ("loss (nats)", "1.2500", ""),
    ]
