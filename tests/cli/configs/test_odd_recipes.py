"""Recipes that YAML reads and nobody meant: what `places config check` and a stage say of them."""

from pathlib import Path

import pytest

from places.cli.main import main

# By name: the recipe, and all that is told of it.
ODD = {
    "number_as_key": ("1: 2\n", ["{}:1: the key '1' is a number to YAML, no name"]),
    "on_as_key": ("data:\n  on: 3\n", ["{}:2: the key 'on' is true or false to YAML, no name"]),
    "null_as_key": ("? \n: 3\n", ["{}:1: the key '' is null to YAML, no name"]),
    "list_as_key": ("? [a]\n: 3\n", ["{}:1: a list or a mapping stands in the place of a key"]),
    "space_in_key": (
        "data:\n\u00a0 batch_size: 3\n",
        ["{}:2: the key '\\xa0 batch_size' has a space in it, as no option has"],
    ),
    # The same key, once with a dot and once below its group.
    "twice_with_dot": (
        "data.batch_size: 3\ndata:\n  batch_size: 4\n",
        [
            "{}:3: data.batch_size is here twice, first in line 1",
            "  remove one: the last would win",
        ],
    ),
    "empty_class": (
        "model:\n  net:\n    class_path:\n",
        ["{}:3: class_path is the name of a class, not nothing"],
    ),
    "number_as_class": (
        "model:\n  net:\n    class_path: 3\n",
        ["{}:3: class_path is the name of a class, not 3"],
    ),
    "empty_arguments": (
        "model:\n  net:\n    class_path: VGG\n    init_args:\n",
        [
            "{}:4: init_args holds arguments by their names, not nothing",
            "  leave it out, or write below it such as  depth: 18",
        ],
    ),
    "class_of_others": (
        "model:\n  net: torch.optim.SGD\n",
        [
            "{}:2: wrong value for model.net: torch.optim.SGD",
            "  belongs to:   --model.optimizer torch.optim.SGD",
            "  takes:        a subclass of Module, by its name or its path as in Python",
        ],
    ),
    "list_as_class": (
        "model:\n  net: [VGG]\n",
        [
            "{}:2: wrong value for model.net: ['VGG']",
            "  takes:        a subclass of Module, by its name or its path as in Python",
        ],
    ),
    "argument_beside_class": (
        "model:\n  net:\n    class_path: VGG\n    depth: 16\n",
        [
            "{}:4: depth stands beside class_path",
            "  arguments of a class stand below init_args, which stands beside class_path",
        ],
    ),
    "class_of_no_package": (
        "model:\n  net: nothing.at.all\n",
        [
            "{}:2: wrong value for model.net: nothing.at.all",
            "  there is no package 'nothing' here: is it installed?",
            "  takes:        a subclass of Module, by its name or its path as in Python",
        ],
    ),
    "empty_group": (
        "data: null\n",
        [
            "{}:1: no value for data: it is empty (null)",
            "  leave it out for the default, or name a class",
        ],
    ),
    "value_for_settings": (
        "model:\n  augment: yes\n",
        [
            "{}:2: wrong value for model.augment: True",
            "  takes:        settings by their names: trivial, rand, erase, mixup, cutmix, "
            "mix_probability",
        ],
    ),
    # What is wrong is taken out to look for more; the empty rest is no second problem.
    "nothing_else": (
        "batch_size: 3\n",
        ["{}:1: no option 'batch_size'", "  nearest:      data.batch_size",
         "  all options:  places fit --help_all"],
    ),
}  # fmt: skip


def test_all_that_is_wrong_is_told_once_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, (text, _) in ODD.items():
        (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
    files = [tmp_path / f"{name}.yaml" for name in ODD]
    assert main(["config", "check", *map(str, files)]) == 1
    expected = [
        line.format(file) for file, (_, lines) in zip(files, ODD.values(), strict=True)
        for line in lines
    ]  # fmt: skip
    assert capsys.readouterr().out.splitlines() == [
        *expected,
        f"{len(ODD)} recipes: {len(ODD)} problems",
    ]


def test_a_callback_without_what_it_needs_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("trainer:\n  callbacks: EarlyStopping\n", encoding="utf-8")
    assert main(["fit", "--config", str(recipe)]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "places: error: EarlyStopping needs monitor",
        "  give it below init_args, or as an option behind that of the class",
    ]


@pytest.mark.parametrize("name", ["on_as_key", "twice_with_dot", "empty_class"])
def test_a_stage_refuses_it_before_the_imports(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    recipe = tmp_path / f"{name}.yaml"
    recipe.write_text(ODD[name][0], encoding="utf-8")
    assert main(["fit", "--config", str(recipe)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith(f"places: error: {recipe}")
    assert len(lines) <= 4
