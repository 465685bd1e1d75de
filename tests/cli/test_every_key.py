"""Every option of `fit` left empty, and given what it cannot take: never a traceback."""

import contextlib
import io
import random

import pytest

from places.cli.main import main
from places.cli.option_table import load_options

WRONG = ["[1]", "{a: 1}", "x", "-1", "1e99", ".nan"]
# Those that read a file, or end the command with a text.
LEFT_OUT = ("config", "print_config", "help")
# The run ends at the latest where there are no data.
RUN = ["--data.root=nowhere", "--trainer.max_epochs=1", "--trainer.accelerator=cpu"]
KEYS = sorted(set(load_options("fit")) - {*LEFT_OUT})


def _check(key: str, value: str) -> None:
    words = [word for word in RUN if not word.startswith(f"--{key}")]
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        status = main(["fit", f"--{key}={value}", *words])
    # Lightning's own warnings begin with the file that they come from.
    lines = [line for line in said.getvalue().splitlines() if line.startswith(("places:", "  "))]
    assert status in (0, 2), (key, value)
    assert status == 0 or any(line.startswith("places: error: ") for line in lines), (key, value)
    assert len(lines) <= 4, (key, value, lines)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # what Lightning says of the values
def test_every_key_may_be_left_empty_or_is_refused() -> None:
    assert len(KEYS) > 110
    for key in KEYS:
        _check(key, "null")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_every_key_refuses_what_it_cannot_take() -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for key in KEYS:
        _check(key, chance.choice(WRONG))


def test_a_folder_of_runs_that_is_null_is_the_usual_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["fit", "--trainer.default_root_dir=null", *RUN]) == 2
    assert "no shards for split 'train' in nowhere" in capsys.readouterr().err
