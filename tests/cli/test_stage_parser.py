from pathlib import Path
from typing import Optional, Union

import pytest

from places.cli.main import main
from places.cli.stage_parser import PlacesParser


def _error(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    assert main(["fit", *words]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) <= 4, "an error has at most four lines"
    assert lines[0].startswith("places: error: ")
    return lines


@pytest.mark.parametrize(
    ("flag", "nearest"),
    [
        ("--trainer.max_epoch=3", "trainer.max_epochs"),
        ("--data.bach_size=3", "data.batch_size"),
        ("--model.label_smoothin=0.1", "model.label_smoothing"),
        ("--model.net.dept=18", "model.net.depth"),
        ("--model.optimizer.momentun=0.1", "model.optimizer.momentum"),
        ("--random_weight=true", "random_weights"),
        ("--modle.net=VGG", "model.net"),
        ("--modle=x", "model"),
        ("--dta=ImageFiles", "data"),
        ("--batch_size=3", "data.batch_size"),
        ("--checkpoint.save_top=2", "checkpoint.save_top_k"),
        ("--model.augment.mixap=1", "model.augment.mixup"),
    ],
)
def test_a_mistyped_flag_is_refused_with_the_nearest(
    capsys: pytest.CaptureFixture[str], flag: str, nearest: str
) -> None:
    lines = _error(capsys, flag)
    assert "no option" in lines[0]
    assert f"given in:     {flag.partition('=')[0]}" in lines[1]
    assert lines[2] == f"  nearest:      {nearest}"


def test_names_come_from_the_class_that_refuses_them(capsys: pytest.CaptureFixture[str]) -> None:
    lines = _error(capsys, "--model.optimizer=RMSprop", "--model.optimizer.alpa=0.9")
    assert lines == [
        "places: error: no option 'model.optimizer.alpa'",
        "  given in:     --model.optimizer.alpa",
        "  nearest:      model.optimizer.alpha",
        "  all options:  places fit --model.optimizer.help torch.optim.RMSprop",
    ]
    words = ["--trainer.callbacks+=LearningRateMonitor", "--trainer.callbacks.log_momentun=true"]
    assert "  nearest:      trainer.callbacks.log_momentum" in _error(capsys, *words)


@pytest.mark.parametrize(
    ("words", "owner"),
    [
        (["--data.images=photos"], "--data ImageFiles"),
        (["--data=ImageFiles", "--data.root=data"], "--data Places365"),
        (["--model.net.dropout=0.1"], "--model.net places.models.VGG"),
    ],
)
def test_an_option_of_the_other_class_says_how_to_choose_it(
    capsys: pytest.CaptureFixture[str], words: list[str], owner: str
) -> None:
    assert f"  belongs to:   {owner}" in _error(capsys, *words)


def test_nothing_is_suggested_that_is_not_close(capsys: pytest.CaptureFixture[str]) -> None:
    lines = _error(capsys, "--zzz=1")
    assert lines == [
        "places: error: no option 'zzz'",
        "  given in:     --zzz",
        "  all options:  places fit --help_all",
    ]


def test_a_word_that_is_no_option_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert _error(capsys, "extra")[0] == "places: error: unexpected word 'extra'"
    assert _error(capsys, "demo.yaml")[1] == "  type:  --config demo.yaml"


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("trainer:\n  max_epoch: 3\n", "trainer.max_epochs"),
        ("data:\n  # batch_sise: 8\n  batch_sise: 3\n", "data.batch_size"),
        (
            "model:\n  net:\n    class_path: places.models.VGG\n    init_args: {dropuot: 0.1}\n",
            "model.net.dropout",
        ),
        ("model:\n  net:\n    clas_path: places.models.VGG\n", "model.net.class_path"),
        ("modle:\n  label_smoothing: 0.1\n", "model.label_smoothing"),
        (
            "trainer:\n  callbacks:\n    - class_path: LearningRateMonitor\n"
            "      init_args: {logging_intervall: step}\n",
            "trainer.callbacks.logging_interval",
        ),
        (
            "trainer:\n  logger:\n    class_path: WandbLogger\n    init_args: {projct: x}\n",
            "trainer.logger.project",
        ),
    ],
)
def test_a_mistyped_key_is_refused_with_file_line_and_the_nearest(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, nearest: str
) -> None:
    (tmp_path / "recipe.yaml").write_text(text)
    lines = _error(capsys, "--config", "recipe.yaml")
    assert lines[1] == f"  given in:     recipe.yaml, line {len(text.splitlines())}"
    assert lines[2] == f"  nearest:      {nearest}"


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        ("--data.batch_size=many", "wrong value for data.batch_size: many"),
        ("--trainer.max_epochs=many", "  takes:        int, null"),
        ("--model.net.depth=19", "wrong value for model.net.depth: 19"),
        ("--model.net.depth=19", "  takes:        18, 34, 50, 101, 152"),
        ("--model.schedule=cosin", "  takes:        cosine, linear, steps, constant"),
        ("--model.optimizer=SDG", "  nearest:      SGD"),
        ("--model.net=VGGG", "  nearest:      places.models.VGG"),
        ("--model.net=places.models.Resnet", "  nearest:      places.models.ResNet"),
        ("--data=Places366", "  nearest:      Places365"),
        ("--trainer.callbacks+=EarlyStoping", "  nearest:      EarlyStopping"),
        ("--trainer.logger=CSVLoger", "  nearest:      CSVLogger"),
        ("--model.weights=nowhere.pth", "no file of weights at nowhere.pth"),
        ("--data.image_size=300", "data.image_size 300 is larger than data.resize_size 256"),
    ],
)
def test_a_wrong_value_is_refused_with_the_value(
    capsys: pytest.CaptureFixture[str], flag: str, expected: str
) -> None:
    assert any(expected in line for line in _error(capsys, flag))


def test_missing_shards_say_how_to_make_them(capsys: pytest.CaptureFixture[str]) -> None:
    lines = _error(capsys, "--data.root", "nowhere", "--trainer.max_epochs", "1")
    assert lines[0] == "places: error: no shards for split 'train' in nowhere"
    assert lines[2].endswith("places pack train_256_places365standard.tar --root nowhere")
    assert not list(Path("runs").rglob("*/*")), "a run that never began leaves no folder"


def test_a_foreign_checkpoint_is_explained(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    import torch

    torch.save({"state_dict": {}}, tmp_path / "foreign.ckpt")
    lines = _error(capsys, "--ckpt_path", "foreign.ckpt")
    assert "foreign.ckpt was not written by places" in lines[0]
    (tmp_path / "broken.ckpt").write_bytes(b"PK broken")
    assert "cannot read checkpoint broken.ckpt" in _error(capsys, "--ckpt_path", "broken.ckpt")[0]
    assert "no checkpoint at nowhere.ckpt" in _error(capsys, "--ckpt_path", "nowhere.ckpt")[0]


def test_help_of_a_stage_lists_the_options_of_the_default_classes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["fit", "--help_all"]) == 0
    output = capsys.readouterr().out
    assert output.startswith("usage: places [options] fit ")
    for option in ("random_weights", "trainer.max_epochs", "model.label_smoothing", "data.root"):
        assert f"\n  --{option} " in output
    assert "torch.nn.Linear" not in output, "nobody wants all classes of PyTorch"
    for line in output.splitlines()[-4:]:
        assert main(["fit", *line.split()]) == 0, "the help says how to see other classes"
    output = capsys.readouterr().out
    for option in ("net.batch_norm", "optimizer.betas", "data.images", "data.shuffle_buffer"):
        assert f"\n  --{option} " in output


def test_help_of_a_stage_explains_every_option_of_ours(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--model.help"]) == 0
    assert "--model.label_smoothing" in capsys.readouterr().out
    assert main(["fit", "--data.help"]) == 0
    assert "--data.crop_scale" in capsys.readouterr().out
    for group in ("places.classifier.SceneClassifier", "places.data.places365.Places365"):
        side = "model" if "classifier" in group else "data"
        assert main(["fit", f"--{side}.help", group]) == 0
        output = " ".join(capsys.readouterr().out.split())
        assert "help not found" not in output
        assert "--data.batch_size" in output or "--model.label_smoothing" in output


def test_one_batch_is_not_all_of_them_whatever_other_libraries_wrote_first() -> None:
    class Limited:
        def __init__(self, batches: Optional[Union[float, int]] = None) -> None: ...  # noqa: UP007, UP045  # typing's own unions are what is remembered

    annotations = dict(Limited.__init__.__annotations__)
    parser = PlacesParser()
    parser.add_class_arguments(Limited, "limited")
    for text, expected in (("1", int), ("1.0", float), ("null", type(None))):
        value = parser.parse_args(["--limited.batches", text]).limited.batches
        assert type(value) is expected
    assert Limited.__init__.__annotations__ == annotations, "nothing of it is left"
