"""Every option of the stages left empty, or given what it cannot take: never a traceback."""

import contextlib
import io
import random
from pathlib import Path

import pytest

from places.cli.main import main
from places.cli.option_table import load_options

WRONG = ["[1]", "{a: 1}", "x", "-1", "1e99", ".nan"]
# Those that read a file, or end the command with a text.
LEFT_OUT = ("config", "print_config", "help")
# The run ends at the latest where there are no data.
RUN = {
    "fit": ["--data.root=nowhere", "--trainer.max_epochs=1", "--trainer.accelerator=cpu"],
    "validate": ["--data.root=nowhere", "--trainer.accelerator=cpu", "--random_weights"],
    "test": ["--data.root=nowhere", "--trainer.accelerator=cpu", "--random_weights"],
    "predict": ["--data.images=nowhere", "--trainer.accelerator=cpu", "--random_weights"],
}
KEYS = {stage: sorted(set(load_options(stage)) - {*LEFT_OUT}) for stage in RUN}


def _keys(stage: str, chance: random.Random) -> list[str]:
    """Return all options of fit, or of another stage those that fit lacks and some of the rest."""
    own = [key for key in KEYS[stage] if stage == "fit" or key not in KEYS["fit"]]
    shared = [key for key in KEYS[stage] if key not in own]
    return own + chance.sample(shared, min(12, len(shared)))


def _chance() -> random.Random:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    return random.Random(seed)


def _check(typed: list[str], name: str) -> None:
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        status = main(typed)
    # Lightning's own warnings begin with the file that they come from.
    lines = [line for line in said.getvalue().splitlines() if line.startswith(("places:", "  "))]
    assert status in (0, 2), name
    assert status == 0 or any(line.startswith("places: error: ") for line in lines), name
    assert len(lines) <= 4, (name, lines)


def _check_flag(stage: str, key: str, value: str) -> None:
    words = [word for word in RUN[stage] if not word.startswith(f"--{key}")]
    _check([stage, f"--{key}={value}", *words], f"{stage} --{key}={value}")


@pytest.mark.no_cover
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # what Lightning says of the values
@pytest.mark.parametrize("stage", RUN)
def test_every_key_may_be_left_empty_or_wrong_or_is_refused(stage: str) -> None:
    assert len(KEYS[stage]) > 100
    chance = _chance()
    keys = _keys(stage, chance)
    empty = set(chance.sample(keys, len(keys) // 2))  # another half each time
    for key in keys:
        _check_flag(stage, key, "null" if key in empty else chance.choice(WRONG))


@pytest.mark.no_cover
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("stage", RUN)
def test_every_key_may_be_wrong_in_an_overlay(stage: str) -> None:
    chance = _chance()
    Path("base.yaml").write_text("data: {seed: 3}\n")
    for key in chance.sample(_keys(stage, chance), 12 if stage == "fit" else 4):
        value = chance.choice([*WRONG, "null", ""])
        text = "".join(f"{'  ' * n}{part}:\n" for n, part in enumerate(key.split(".")))
        Path("over.yaml").write_text(f"{text.rstrip()} {value}\n")
        words = [word for word in RUN[stage] if not word.startswith(f"--{key}")]
        recipes = ["--config", "base.yaml", "--config", "over.yaml"]
        base = [stage, *(recipes if stage != "predict" else recipes[2:]), *words]
        _check(base, f"{stage} {text} {value}")


def test_a_folder_of_runs_that_is_null_is_the_usual_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["fit", "--trainer.default_root_dir=null", *RUN["fit"]]) == 2
    assert "no shards for split 'train' in nowhere" in capsys.readouterr().err


def test_a_recipe_that_trusts_null_trusts_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    Path("null.yaml").write_text("data: {seed: 3}\ntrust:\n")
    assert main(["fit", "--config", "null.yaml", *RUN["fit"]]) == 2
    assert "no shards for split 'train' in nowhere" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["[1]", "-1", ".nan", "true", "{a: 1}", "[[a]]", "[null]", "''"])
def test_a_recipe_that_trusts_no_names_is_refused(
    value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("odd.yaml").write_text(f"data: {{seed: 3}}\ntrust: {value}\n")
    assert main(["fit", "--config", "odd.yaml", *RUN["fit"]]) == 2
    assert "places: error: trust takes the name" in capsys.readouterr().err


def test_a_recipe_may_name_one_package_without_a_list(capsys: pytest.CaptureFixture[str]) -> None:
    Path("one.yaml").write_text("data: {seed: 3}\ntrust: mynetworks\n")
    assert main(["config", "show", "one.yaml"]) == 0
    assert "trust:\n- mynetworks\n" in capsys.readouterr().out


def test_a_recipe_without_a_value_for_the_seed_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("empty.yaml").write_text("data: {seed: 3}\nseed_everything:\n")
    assert main(["fit", "--config", "empty.yaml", *RUN["fit"]]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "places: error: no value for seed_everything: it is empty (null)"
    assert lines[1:] == ["  given in:     empty.yaml, line 2", "  takes:        a whole number"]
