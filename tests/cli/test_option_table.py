"""The table of options is that of the parsers, and the short help names only what is in it."""

import pytest

from places.cli.main import STAGES, main
from places.cli.option_table import FILE, load_options, make_table
from places.cli.short_help import names_in

_OF_A_CLASS = ("model.net.", "model.optimizer.")  # known when the class is


def test_the_table_is_fresh() -> None:
    assert FILE.read_text("utf-8") == make_table(), "type: python -m places.cli.option_table"


@pytest.mark.parametrize("stage", STAGES)
def test_the_help_of_a_stage_fits_a_screen(stage: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([stage, "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"usage: places {stage} ")
    assert len(lines) <= 45
    assert max(map(len, lines)) <= 100
    assert f"places {stage} --help_all" in "\n".join(lines)


@pytest.mark.parametrize("stage", STAGES)
def test_every_option_of_the_help_is_one(stage: str) -> None:
    options, names = load_options(stage), list(names_in(stage))
    assert len(names) == len(set(names))
    assert len(names) >= 12
    for name in names:
        assert name in options or name.startswith(_OF_A_CLASS), name


def test_the_table_tells_what_the_signatures_say() -> None:
    from inspect import signature

    from places.classifier import SceneClassifier
    from places.data.places365 import Places365

    for kind, group in ((SceneClassifier, "model"), (Places365, "data")):
        options = load_options("fit")
        for name, parameter in signature(kind).parameters.items():
            option = options[f"{group}.{name}"]
            assert option.help or name == "augment"
            if isinstance(parameter.default, int | str) and not isinstance(parameter.default, bool):
                assert option.default == str(parameter.default)


def test_a_line_of_the_help_that_lists_words_lists_all(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from inspect import signature
    from typing import get_args

    from places.classifier import SceneClassifier
    from places.data.places365 import Places365

    assert main(["fit", "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    found = {}
    for kind, group in ((SceneClassifier, "model"), (Places365, "data")):
        for name, parameter in signature(kind).parameters.items():
            words = [word for word in get_args(parameter.annotation) if isinstance(word, str)]
            shown = [line for line in lines if line.startswith(f"  --{group}.{name} ")]
            if words and shown:
                found[name] = [word for word in words if word not in shown[0]]
    assert found == {"schedule": [], "bad_samples": []}
