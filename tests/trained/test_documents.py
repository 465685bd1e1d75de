"""What the documents show of Python runs as it stands there."""

import re
from pathlib import Path

import pytest
import torch
from tests.data.drawn import drawn_picture

import places

ROOT = Path(__file__).parents[2]
DOCUMENTS = ["docs/python.md", "README.md"]


@pytest.fixture
def folder(tmp_path: Path, run_folder: Path, sample: Path) -> Path:
    """What the documents take for granted."""
    (tmp_path / "runs" / "demo").mkdir(parents=True)
    (tmp_path / "runs" / "demo" / "0").symlink_to(run_folder)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "sample").symlink_to(sample)
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("photos/a.jpg", "photos/b.png", "photos/c.jpg", "a.jpg", "b.png"):
        drawn_picture(90, 80, seed=len(name)).save(tmp_path / name)
    frames = [drawn_picture(60, 50, seed) for seed in range(3)]
    frames[0].save(photos / "film.gif", save_all=True, append_images=frames[1:])
    (photos / "notes.jpg").write_text("no picture")
    state = places.models.ResNet(365, depth=18).state_dict()
    torch.save(state, tmp_path / "weights.pth")
    official = {"arch": "resnet18", "state_dict": {f"module.{k}": v for k, v in state.items()}}
    torch.save(official, tmp_path / "resnet18_places365.pth.tar")
    return tmp_path


@pytest.mark.filterwarnings("ignore:rows of NaN", "ignore:unclosed file")
@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_snippet_runs(
    folder: Path, capsys: pytest.CaptureFixture[str], document: str
) -> None:
    snippets = re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(), flags=re.S)
    assert len(snippets) >= (8 if document == "docs/python.md" else 1)
    if document == "docs/python.md":  # only this one shows what becomes of it
        (folder / "photos" / "notes.jpg").rename(folder / "photos" / "notes.bmp")
    names: dict[str, object] = {}
    for snippet in snippets:
        exec(compile(snippet, document, "exec"), names)
    printed = capsys.readouterr().out
    assert "a.jpg\n  " in printed
    if document == "docs/python.md":
        assert "notes.bmp cannot be read: not a readable picture" in printed
        assert "is most like" in printed
        assert "torch.Size([16, 3, 64, 64])" in printed
    else:
        assert getattr(names["features"], "shape", None) == (2, 512)


def test_five_lines_are_enough() -> None:
    (snippet,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.S)
    assert sum(bool(line) for line in snippet.splitlines()) == 5
