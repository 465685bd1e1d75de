"""What a checkpoint says about files of other checkpoints, which may be forged."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from tests.integration.stages import FIT, MACHINE, fit_in

from places.cli.main import main

OTHER = "--trainer.callbacks+=lightning.pytorch.callbacks.ModelCheckpoint"
WORDS = [
    OTHER,
    "--trainer.callbacks.monitor=val/loss",
    "--trainer.callbacks.save_top_k=2",
    "--trainer.callbacks.filename={epoch}",
]


@pytest.fixture(scope="module")
def trained(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two epochs with a ModelCheckpoint of the user's own."""
    words = ["--data.root", sample, "--trainer.max_epochs", 2, *WORDS]
    return fit_in(tmp_path_factory.mktemp("trained"), *words)


def _state(checkpoint: Mapping[str, Any], kind: str = "ModelCheckpoint") -> dict[str, Any]:
    (state,) = (s for name, s in checkpoint["callbacks"].items() if name.startswith(kind))
    found: dict[str, Any] = state
    return found


def _copy(trained: Path) -> Path:
    shutil.copytree(trained / "checkpoints", "copied")
    return Path("copied/last.ckpt")


def _resume(checkpoint: Path, *words: str) -> Path:
    words = ("--ckpt_path", str(checkpoint), "--trainer.max_epochs", "3", *words)
    assert main(["fit", *MACHINE, *WORDS, *words]) == 0
    return Path("runs/fit/0/checkpoints")


def test_a_users_own_checkpoints_are_as_many_as_were_asked_for(trained: Path) -> None:
    folder = _resume(_copy(trained))
    own = sorted(path.name for path in folder.glob("epoch*"))
    assert len(own) == 2
    state = _state(torch.load(folder / "last.ckpt", weights_only=True))
    assert sorted(Path(path).name for path in state["best_k_models"]) == own
    best = min(state["best_k_models"], key=lambda path: float(state["best_k_models"][path]))
    assert state["best_model_path"] == best


def test_fewer_are_kept_when_fewer_are_asked_for(trained: Path) -> None:
    folder = _resume(_copy(trained), "--trainer.callbacks.save_top_k=1")
    assert len(list(folder.glob("epoch*"))) == 1


def test_scores_of_files_that_are_gone_are_forgotten(trained: Path) -> None:
    checkpoint = _copy(trained)
    for path in checkpoint.parent.glob("epoch=*"):
        path.unlink()
    checkpoint.parent.joinpath("best.ckpt").unlink()
    folder = _resume(checkpoint)
    assert [path.name for path in folder.glob("epoch*")] == ["epoch=2.ckpt"]
    assert (folder / "best.ckpt").is_file()


class Counting(ModelCheckpoint):
    """Remembers something of its own."""

    number = 0

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "number": self.number + 1}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.number = state_dict["number"]
        super().load_state_dict(state_dict)


@pytest.mark.no_cover
def test_a_class_of_the_users_keeps_what_it_adds(sample: Path) -> None:
    words = ["--data.root", sample, "--trainer.max_epochs", 1, "--resume.every_minutes", 0]
    words += [f"--trainer.callbacks+={__name__}.Counting"]
    folder = fit_in(Path("first"), *words)
    path = folder / "checkpoints" / "last.ckpt"
    number = _state(torch.load(path, weights_only=True), "Counting")["number"]
    words = [*words, "--trainer.max_epochs", 2, "--ckpt_path", path]
    path = fit_in(Path("second"), *words) / "checkpoints" / "last.ckpt"
    assert _state(torch.load(path, weights_only=True), "Counting")["number"] == number + 1


FORGED = [
    "{victims}/victim.ckpt",
    "{dirpath}/../../../victims/victim.ckpt",
    "../victims/victim.ckpt",
    "runs/fit/0/checkpoints/../../../../victims/victim.ckpt",
    "{dirpath}/link.ckpt",
    "{dirpath}/linked/victim.ckpt",
    "{victims}/notes.txt",
    "{dirpath}/last.ckpt",
    "{dirpath}/.hidden.ckpt",
    "",
    "{dirpath}/\0.ckpt",
]


@pytest.mark.parametrize("name", ["kth_best_model_path", "last_model_path"])
def test_no_file_but_those_of_the_run_is_taken_or_removed(
    trained: Path, tmp_path: Path, name: str
) -> None:
    victims = tmp_path / "victims"
    victims.mkdir()
    for victim in ("victim.ckpt", "notes.txt"):
        (victims / victim).write_text("mine", encoding="utf-8")
    path = _copy(trained)
    path.with_name("link.ckpt").symlink_to(victims / "victim.ckpt")
    path.with_name("linked").symlink_to(victims)
    path.with_name(".hidden.ckpt").write_text("hidden", encoding="utf-8")
    checkpoint = torch.load(path, weights_only=True)
    for kind in ("ModelCheckpoint", "BestCheckpoint"):
        state = _state(checkpoint, kind)
        wishes = [wish.format(victims=victims, dirpath=state["dirpath"]) for wish in FORGED]
        # The worst score: what has it is removed next.
        score = torch.tensor(1e9 if kind == "ModelCheckpoint" else -1.0)
        state["best_k_models"] = dict.fromkeys([*wishes, 7, *state["best_k_models"]], score)
        state |= {"best_model_path": wishes[0], name: wishes[1]}
        state |= {"best_model_score": score, "kth_value": score}
    torch.save(checkpoint, path)
    folder = _resume(path)
    for file in victims.iterdir():
        assert file.read_text(encoding="utf-8") == "mine"
        assert file.stat().st_nlink == 1
    names = {path.name for path in folder.rglob("*")}
    own = {f"epoch={number}.ckpt" for number in range(3)}
    assert names <= {"best.ckpt", "last.ckpt", "previous.ckpt"} | own
    assert torch.load(folder / "last.ckpt", weights_only=True)["global_step"] == 18


@pytest.mark.parametrize(
    "state",
    [
        {"best_k_models": [1, 2], "dirpath": 3, "best_model_path": None},
        {"best_k_models": {"a.ckpt": "high", "b.ckpt": torch.zeros(3)}, "kth_value": "x"},
    ],
)
def test_a_state_of_another_form_is_forgotten(trained: Path, state: object) -> None:
    path = _copy(trained)
    checkpoint = torch.load(path, weights_only=True)
    for name in checkpoint["callbacks"]:
        if "Checkpoint{" in name:
            checkpoint["callbacks"][name] = state
    torch.save(checkpoint, path)
    folder = _resume(path)
    assert [path.name for path in folder.glob("epoch*")] == ["epoch=2.ckpt"]


def test_in_a_folder_of_the_users_nothing_outside_is_removed(trained: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    victim = tmp_path / "victim.ckpt"
    victim.write_text("mine", encoding="utf-8")
    path = _copy(trained)
    checkpoint = torch.load(path, weights_only=True)
    state = _state(checkpoint)
    wish = f"{mine.resolve()}/../victim.ckpt"
    worst = torch.tensor(1e9)
    state |= {"dirpath": str(mine.resolve()), "best_k_models": {wish: worst, f"{wish}2": worst}}
    state |= {"kth_best_model_path": wish, "kth_value": worst, "best_model_path": wish}
    torch.save(checkpoint, path)
    _resume(path, f"--trainer.callbacks.dirpath={mine}")
    assert victim.read_text(encoding="utf-8") == "mine"
    assert [path.name for path in mine.iterdir()] == ["epoch=2.ckpt"]


def test_a_folder_that_cannot_be_made_is_told_before_the_first_step(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    words = ["--data.root", str(sample), "--trainer.max_epochs", "1"]
    others = [OTHER, "--trainer.callbacks.dirpath=file/inside"]
    for options in (["--checkpoint.dirpath=file/inside"], others):
        assert main(["fit", *FIT, *words, *options]) == 2
        lines = capsys.readouterr().err.splitlines()
        (first,) = [n for n, line in enumerate(lines) if line.startswith("places: error: ")]
        assert lines[first].endswith(f"cannot write into {tmp_path}/file/inside: Not a directory")
        assert len(lines) - first == 2
        assert not list(tmp_path.glob("runs/fit/*")), "a refused run leaves no folder"
