"""`places bench networks` where the time is over, and with networks that fail on the way."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.networks import Tiny
from torch import Tensor

from places.bench.study.plan import Plan
from places.cli.main import main

SMALL = ["--image_size", "32", "--num_classes", "5", "--runs", "3", "--turn_s", "0.01"]
SMALL += ["--batch_sizes", "1", "--ways", "eager", "--work", "inference"]
HERE = __name__


class Tired(Tiny):
    """A network that fails after some batches, while it is measured."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.num_batches = 0

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        self.num_batches += 1
        if self.num_batches > 10:
            raise RuntimeError("no more than ten")
        logits: Tensor = super().forward(images)  # type: ignore[no-untyped-call]  # torch's
        return logits


class Shy(Tiny):
    """A network that fails while it is looked into."""

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        if torch.autograd._profiler_enabled():  # type: ignore[attr-defined]  # there is no other way
            raise RuntimeError("not while somebody looks")
        logits: Tensor = super().forward(images)  # type: ignore[no-untyped-call]  # torch's
        return logits


def _measured(*words: str) -> tuple[int, dict[str, Any]]:
    status = main(["bench", "networks", *words, *SMALL, "--file", "net.json"])
    return status, json.loads(Path("net.json").read_text())


def test_what_fails_on_the_way_is_told_beside_what_does_not() -> None:
    status, found = _measured(f"{HERE}.Tired", f"{HERE}.Shy", "--no_memory")
    assert status == 0
    tired, shy = found["rows"]
    assert (tired["reason"], tired["images_per_s"]) == ("no more than ten", None)
    assert shy["reason"] is None
    assert shy["images_per_s"]["median"] > 0
    networks = {row["name"]: row for row in found["networks"]}
    layers = networks[f"{HERE}.Shy"]["layers"]["inference"]
    assert (layers["rows"], layers["reason"]) == ([], "not while somebody looks")
    # It runs, so it has its cost all the same.
    parameters = sum(weight.numel() for weight in Shy(5).parameters())
    assert networks[f"{HERE}.Shy"]["parameters"] == parameters


@pytest.mark.parametrize("when", ["before memory", "after the first turn"])
def test_when_the_time_is_over_what_is_left_is_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], when: str
) -> None:
    # Instead of a clock, of which nobody knows when it is over here.
    def is_over(plan: Plan, part: float = 1.0) -> bool:
        return when == "before memory" or part == 1.0

    monkeypatch.setattr(Plan, "is_over", is_over)
    memory = [] if when == "before memory" else ["--no_memory"]
    status, found = _measured("tests.networks.Tiny", "--max_s", "60", *memory)
    (row,) = found["rows"]
    if when == "before memory":
        assert (status, row["reason"]) == (1, "left out: the time of --max_s was over")
        assert row["images_per_s"] is None
    else:
        assert (status, row["reason"]) == (0, None)
        # One turn instead of three: there is nothing between its quartiles.
        assert row["images_per_s"]["lower"] == row["images_per_s"]["upper"]
        assert "measured: 1 turn of 0.01 s of each" in capsys.readouterr().out
