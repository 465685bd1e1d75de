import json
import shutil
from pathlib import Path

import pytest
from tests.conftest import SAMPLE_SIZES
from tests.data.packing.official import train_files, write_tar

from places.cli.main import main
from places.data.packing.pack import pack
from places.synthetic import pictures as synthetic
from places.synthetic.scenes.draw import draw_scene

SIZES = [word for pair in SAMPLE_SIZES.items() for word in pair]


@pytest.fixture
def root(sample: Path, tmp_path: Path) -> Path:
    """A sample that may be written to."""
    return Path(shutil.copytree(sample, tmp_path / "root"))


def _state(root: Path) -> dict[str, tuple[int, bytes]]:
    """Every file with its time and content."""
    files = [path for path in root.rglob("*") if path.is_file()]
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def _draw(root: Path, *words: str) -> int:
    return main(["sample", "--root", str(root), *SIZES, *words])


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The categories that are drawn from now on."""
    categories: list[str] = []

    def draw(category: str, *rest: object) -> object:
        categories.append(category)
        return draw_scene(category, *rest)  # type: ignore[arg-type]  # passed on

    monkeypatch.setattr(synthetic, "draw_scene", draw)
    monkeypatch.setattr(synthetic, "_MIN_PER_PROCESS", 10**6)  # all in this process
    return categories


def test_the_same_call_again_draws_and_writes_nothing(
    root: Path, drawn: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = _state(root)
    assert _draw(root) == 0
    assert _state(root) == before
    assert not drawn
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"drawn before: {root}/archives"
    assert all("already packed" in line for line in lines[1:])


@pytest.mark.parametrize("name", ["seed", "num_images", "made_by", "md5"])
@pytest.mark.parametrize("value", [None, [], "odd", True])
def test_a_damaged_record_of_an_archive_is_refused_or_drawn_again(
    root: Path, name: str, value: object, capsys: pytest.CaptureFixture[str]
) -> None:
    sidecar = root / "archives" / "val_256.tar.json"
    fields = json.loads(sidecar.read_text())
    fields[name] = value
    if value is None:
        del fields[name]
    sidecar.write_text(json.dumps(fields))
    status = _draw(root)
    if name in ("made_by", "md5") and value == "odd":  # may be of an older version
        assert status == 0
        return
    lines = capsys.readouterr().err.splitlines()
    assert status == 2
    assert lines[0].startswith(f"places: error: damaged {sidecar}: ")
    assert len(lines) == 2


def test_a_damaged_archive_is_drawn_again_and_is_the_same(root: Path, drawn: list[str]) -> None:
    before = {path: content for path, (_, content) in _state(root).items()}
    archive = root / "archives" / "val_256.tar"
    archive.write_bytes(archive.read_bytes()[:-1000])
    assert _draw(root) == 0
    assert len(drawn) == sum(map(int, SAMPLE_SIZES.values()))
    assert {path: content for path, (_, content) in _state(root).items()} == before


@pytest.mark.parametrize("words", [["--seed", "1"], ["--num_val", "12"]])
@pytest.mark.parametrize("is_whole", [True, False])
def test_another_sample_is_refused_before_anything_is_written(
    root: Path,
    drawn: list[str],
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    is_whole: bool,
) -> None:
    if not is_whole:
        shutil.rmtree(root / ("pictures" if "--seed" in words else "archives"))
    before = _state(root)
    assert _draw(root, *words) == 2
    assert _state(root) == before
    assert not drawn
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith(f"places: error: {root} holds another sample than  --seed ")
    assert " ".join(words) in lines[0]
    assert lines[2] == f"  choose another --root, or remove this one:  rm -r {root}"


def test_a_sample_of_another_version_is_replaced(root: Path, drawn: list[str]) -> None:
    val = root / "val.json"
    expected = val.read_bytes()
    for path in (root / "archives").glob("*.json"):
        path.write_text(path.read_text().replace('"made_by": "places ', '"made_by": "places 0.0.'))
    text = val.read_text()
    md5 = text.partition('"md5": "')[2][:32]
    val.write_text(text.replace(md5, "0" * 32))
    assert _draw(root) == 0
    assert drawn
    assert val.read_bytes() == expected


def test_other_data_are_not_overwritten(
    tmp_path: Path, drawn: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    pack([write_tar(tmp_path / "mine.tar", train_files(3))], root, split="train")
    before = _state(root)
    assert _draw(root) == 2
    error = f"places: error: {root} holds data of split 'train' that were not drawn\n"
    assert capsys.readouterr().err.startswith(error)
    assert _state(root) == before
    (root / "train.json").unlink()
    assert _draw(root) == 2
    assert not drawn


def test_a_file_in_place_of_the_folder_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(["sample", "--root", "file"]) == 2
    assert capsys.readouterr().err.startswith("places: error: file is a file\n")
    assert main(["sample", "--root", "file/below"]) == 2
    assert "drawing into file/below failed: " in capsys.readouterr().err
