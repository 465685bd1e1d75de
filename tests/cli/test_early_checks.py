"""Mistakes that are told before torch is imported are told in the words of the parser."""

import subprocess
import sys
from pathlib import Path

import pytest

from places.cli.early_checks import check_early
from places.cli.main import main

MISTAKES = [
    "--zzz 1",
    "--bach_size 3",
    "--verbose true",
    "--modle.net VGG",
    "--data.bach_size 3",
    "--data.bach_size=3",
    "--data.images x",
    "--model.label_smothing 3",
    "--model.net.dept 3",
    "--model.net VGG --model.net.dept 3",
    "--data ImageFiles --data.image x",
    "--trainer.max_epoch 3",
    "--trainer.logge.x 1",
    "--trainer.callbacks+=Nothing",
    "--checkpoint.top_k 3",
    "--resume.every 3",
    "--config smothing.yaml",
    "--config epoch.yaml",
    "--config modle.yaml",
    "--config demo.yaml --config=bach.yaml",
    "--config nowhere.yaml",
    "--config twice.yaml",
    "--config text.yaml",
    "--config data.yaml --data.imagse x",
]
RECIPES = {
    "smothing": "model:\n  label_smothing: 0.1\n",
    "epoch": "trainer:\n  max_epoch: 1\n",
    "modle": "modle:\n  label_smoothing: 0.1\n",
    "bach": "data:\n  bach_size: 1\n",
    "twice": "data:\n  seed: 1\n  seed: 2\n",
    "text": "data: [1\n",
    "data": "data:\n  class_path: ImageFiles\n  init_args: {images: x}\n",
}


@pytest.fixture
def _recipes() -> None:
    for name, text in RECIPES.items():
        Path(f"{name}.yaml").write_text(text)


@pytest.mark.usefixtures("_recipes")
@pytest.mark.parametrize("typed", MISTAKES)
def test_the_words_are_those_of_the_parser(
    typed: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["fit", *typed.split()]) == 2
    early = capsys.readouterr().err
    monkeypatch.setattr("places.cli.early_checks.check_early", lambda words: None)
    assert main(["fit", *typed.split()]) == 2
    assert early == capsys.readouterr().err
    assert len(early.splitlines()) <= 4


@pytest.mark.parametrize(
    "typed",
    [
        "fit --bach_size 3",
        "test --trainer.max_epoch 3",
        "fit --config nowhere.yaml",
        "predict photos --trainer.max_epoch 3",
        "fit --help",
        "predict -h",
    ],
)
def test_torch_is_not_imported_for_it(typed: str) -> None:
    code = (
        "import sys\n"
        "from places.cli.main import main\n"
        f"status = main({typed.split()!r})\n"
        "heavy = {'torch', 'lightning', 'numpy', 'jsonargparse', 'rich', 'PIL'}\n"
        "print(status, *sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    is_help = typed.endswith(("--help", "-h"))
    assert done.stderr.splitlines()[-1] == ("0" if is_help else "2")


@pytest.mark.parametrize(
    "words",
    [
        ["--trainer.logger.class_path", "CSVLogger"],
        ["--data.class_path=ImageFiles", "--data.zzz=1"],
        ["--model", "other.Module", "--model.zzz=1"],
        ["--ckpt_path", "x.ckpt", "--model.zzz=1"],
        ["--data.init_args.batch_size", "3"],
        ["--model.augment.mixup", "0.2"],
        ["--trainer.callbacks+=RichProgressBar"],
        ["-c", "demo"],
        ["--print_config=skip_null"],
        ["--", "--zzz"],
    ],
)
def test_what_may_be_right_is_left_to_the_parser(words: list[str]) -> None:
    from places.cli.early_checks import check_early

    check_early(["fit", *words])


def test_a_recipe_may_add_to_a_list(tmp_path: Path) -> None:
    recipe = tmp_path / "more.yaml"
    recipe.write_text(
        "trainer:\n  callbacks+:\n  - class_path: RichModelSummary\n    init_args: {max_depth: 1}\n"
    )
    check_early(["fit", "--config", str(recipe)])
    recipe.write_text("trainer: {callbacks+: RichModelSummary}\n")
    check_early(["fit", "--config", str(recipe)])
