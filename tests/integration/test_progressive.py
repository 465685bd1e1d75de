"""Progressive resizing: the size of training crops follows the epoch, also after a resume."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.integration.stages import load_weights, run
from tests.networks import Tiny

from places.data.streaming.batches import TrainCrop, train_batches

GROWING = [
    *("--data.start_image_size", "32", "--data.image_size", "96", "--data.resize_size", "96"),
    *("--data.grow_epochs", "[0,2]", "--trainer.max_epochs", "3"),
]


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of training crops, one for each epoch that is started."""
    seen: list[int] = []

    def recorded(source: Any, crop: TrainCrop, *others: Any, **options: Any) -> Any:  # noqa: ANN401
        seen.append(crop.image_size)
        return train_batches(source, crop, *others, **options)

    monkeypatch.setattr("places.data.places365.train_batches", recorded)
    return seen


@pytest.mark.slow
def test_crops_grow_and_a_resumed_run_goes_on_with_their_size(
    mixed_sample: Path, tmp_path: Path, sizes: list[int]
) -> None:
    words = ["--data.root", mixed_sample, *GROWING]
    assert run("fit", *words, "--resume.every_n_steps", 1, "--resume.keep_all", "true") == 0
    assert sizes == [32, 64, 96]
    sizes.clear()
    folder = tmp_path / "runs" / "fit"
    step_9 = folder / "0" / "checkpoints" / "step-9.ckpt"  # in the middle of the second epoch
    assert run("fit", *words, "--ckpt_path", step_9) == 0
    assert sizes == [64, 96]
    whole, parts = (load_weights(folder / n / "checkpoints" / "last.ckpt") for n in ("0", "1"))
    assert all(torch.equal(whole[key], parts[key]) for key in whole)


def test_training_crops_may_be_smaller_than_what_is_evaluated(
    raw_sample: Path, tmp_path: Path, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes: list[tuple[bool, int]] = []
    forward = Tiny.forward

    def recorded(self: Tiny, images: torch.Tensor) -> torch.Tensor:
        shapes.append((self.training, images.shape[-1]))
        logits: torch.Tensor = forward(self, images)  # type: ignore[no-untyped-call]  # torch's
        return logits

    monkeypatch.setattr(Tiny, "forward", recorded)
    words = ["--data.start_image_size", "32", "--data.train_image_size", "64"]
    words += ["--data.image_size", "96", "--data.resize_size", "100"]
    words += ["--data.grow_epochs", "[0,1]", "--trainer.max_epochs", "2"]
    assert run("fit", "--data.root", raw_sample, *words) == 0
    assert sizes == [32, 64]
    assert set(shapes) == {(True, 32), (True, 64), (False, 96)}
    # Later stages prepare pictures as the evaluation did.
    shapes.clear()
    assert (
        run("test", "--data.root", raw_sample, "--ckpt_path", tmp_path / "runs" / "fit" / "0") == 0
    )
    assert set(shapes) == {(False, 96)}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data.start_image_size", "300"], "data.start_image_size 300 is not between"),
        (
            ["--data.train_image_size", "64", "--data.start_image_size", "96"],
            "data.start_image_size 96 is not between 1 and 64, the final size of training crops",
        ),
        (["--data.train_image_size", "0"], "data.train_image_size"),
        (["--data.grow_epochs", "[5,5]"], "data.grow_epochs [5, 5] are no two rising epochs"),
    ],
)
def test_sizes_that_cannot_be_are_refused(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("fit", *words) == 2
    assert message in capsys.readouterr().err
