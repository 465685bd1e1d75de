"""The forms of `places config show`, `check` and `schema`, and words that name no config."""

import json
from pathlib import Path

import pytest
import yaml

from places.cli.configs.schema import schema_text
from places.cli.main import main
from places.config.changes.leaves import leaves


def test_show_has_the_same_config_in_each_form(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    # As a run saved it: nothing is added to it.
    text = "model: {net: places.models.VGG}\ntrainer: {max_epochs: 3, devices: null}\n"
    (tmp_path / "config.yaml").write_text(f"# places fit\n{text}")
    config = yaml.safe_load(text)
    outputs = {}
    for form in ("yaml", "json", "flat"):
        assert main(["config", "show", f"run:{tmp_path}", "--format", form]) == 0
        outputs[form] = capsys.readouterr().out
    assert yaml.safe_load(outputs["yaml"]) == json.loads(outputs["json"]) == config
    lines = dict(line.split(": ") for line in outputs["flat"].splitlines())
    assert {key: yaml.safe_load(value) for key, value in lines.items()} == leaves(config)

    words = ["config", "show", f"run:{tmp_path}", "--trainer.max_epochs", "4"]
    assert main(words) == 2
    message = f"run:{tmp_path} was saved as it is: flags do not change it"
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("word", [":one.yaml", "HEAD:", "HEAD:one.yaml+", "one.yaml+", ""])
def test_a_word_that_names_no_config_is_refused(
    capsys: pytest.CaptureFixture[str], word: str
) -> None:
    assert main(["config", "show", word]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first == f"places: error: {word!r} names no config"
    assert "REV:path" in second


def test_schema_is_written_to_a_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "recipe.schema.json"
    assert main(["config", "schema", "--file", str(file)]) == 0
    assert capsys.readouterr() == ("", f"places: wrote {file}\n")
    assert file.read_text() == schema_text()


def test_check_finds_what_stands_in_a_list_or_below_a_dotted_key(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "recipe.yaml").write_text(
        "model.label_smoothing: a lot\n"
        "trainer.callbacks+:\n"
        "  class_path: lightning.pytorch.callbacks.EarlyStopping\n"
        "  init_args: {monitor: val/top1, patiense: 3}\n"
    )
    assert main(["config", "check", "recipe.yaml"]) == 1
    lines = capsys.readouterr().out.splitlines()
    (smoothing,) = (line for line in lines if "label_smoothing" in line)
    assert smoothing.startswith("recipe.yaml:1: wrong value for model.label_smoothing: a lot")
    (patience,) = (line for line in lines if "patiense" in line)
    assert patience.startswith("recipe.yaml:4: no option ")
    assert lines[-1] == "1 recipe: 2 problems"
