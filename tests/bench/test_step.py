from pathlib import Path

import pytest

from places.bench import step
from places.cli.main import main


@pytest.mark.slow
def test_both_loops_are_measured_on_the_same_batches(
    sample: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = []
    work = step._Work(sample, 18, 16, 32, 8, "cpu")
    keys = [batch["key"] for batch in work.batches()]

    def note(
        self: step.Clock, trainer: object, module: object, batch: dict[str, list[str]], index: int
    ) -> None:
        seen.append(batch["key"])
        self.times_s.append(float(len(seen)))

    monkeypatch.setattr(step.Clock, "on_train_batch_start", note)
    words = ["--batch_size", "16", "--image_size", "32", "--num_steps", "8", "--runs", "1"]
    assert main(["bench", "step", str(sample), *words]) == 0
    assert seen[:8] == keys
    text = capsys.readouterr().out
    assert "bare PyTorch" in text
    assert "1,000.0" in text  # one step per tick of the clock above
