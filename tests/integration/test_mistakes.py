"""What a user gets wrong is answered in at most four lines, with exit status 2."""

import itertools
import re
from pathlib import Path

import pytest
import torch
from tests.integration.stages import run
from tests.networks import Tiny

from places.cli.main import main
from places.data.places365 import Places365


def _error(capsys: pytest.CaptureFixture[str], *words: object) -> list[str]:
    assert run("fit", "--trainer.max_steps", 1, *words) == 2
    lines = capsys.readouterr().err.splitlines()
    lines = lines[lines[0].startswith("places: this run is") :]
    assert len(lines) <= 4, "an error has at most four lines"
    assert lines[0].startswith("places: error: ")
    return lines


@pytest.mark.parametrize(
    ("flag", "value", "expected"),
    [
        ("--model.num_classes", 0, "model.num_classes must be 1 or more, not 0"),
        ("--model.num_classes", 12, "the network has 12 classes, the data have 365"),
        ("--model.label_smoothing", 2, "model.label_smoothing must be 0 to 1, not 2"),
        ("--model.label_smoothing", ".nan", "model.label_smoothing must be 0 to 1, not nan"),
        ("--model.warmup_epochs", -1, "model.warmup_epochs must be 0 or more, not -1"),
        ("--model.milestones", "[-1]", "model.milestones must be 0 or more, not -1"),
        ("--model.schedule", "steps", "model.schedule steps needs the epochs of its steps"),
        ("--model.std", "[0.2,0,0.2]", "model.std must be 0.001 or more, not 0"),
        ("--model.optimizer.lr", -1, "model.optimizer cannot be built: Invalid learning rate"),
        ("--data.image_size", 0, "data.image_size must be 1 or more, not 0"),
        ("--data.num_threads", 0, "data.num_threads must be 1 or more, not 0"),
        ("--data.shuffle_window", 0, "data.shuffle_window must be 1 or more, not 0"),
        ("--data.max_bad_samples", -1, "data.max_bad_samples must be 0 or more, not -1"),
        ("--data.crop_scale", "[1.0,0.5]", "data.crop_scale must be two rising numbers above 0"),
        ("--data.crop_scale", "[0,2]", "above 0, at most 1, not [0.0, 2.0]"),
        ("--data.crop_ratio", "[2,1]", "data.crop_ratio must be two rising numbers above 0, not"),
        ("--trainer.accelerator", "foo", "invalid accelerator name: `accelerator='foo'`"),
        ("--trainer.devices", "foo", "`devices` selected with `CPUAccelerator` should be an int"),
        ("--trainer.accumulate_grad_batches", 0, "accumulate_grad_batches must be 1 or more"),
        ("--trainer.gradient_clip_val", -1, "trainer.gradient_clip_val must be 0 or more, not -1"),
        ("--trainer.check_val_every_n_epoch", 0, "trainer.check_val_every_n_epoch must be 1 or m"),
        ("--trainer.val_check_interval", 0, "trainer.val_check_interval must not be 0"),
        ("--trainer.limit_train_batches", 0, "trainer.limit_train_batches must not be 0"),
        (
            "--trainer.limit_train_batches",
            -1,
            "trainer.limit_train_batches must be a number of bat",
        ),
        ("--trainer.limit_val_batches", 1.5, "a share from 0.0 to 1.0, not 1.5"),
        ("--trainer.devices", 0, "trainer.devices must be 1 or more, or -1 for all, not 0"),
        ("--trainer.devices", -4, "trainer.devices must be 1 or more, or -1 for all, not -4"),
        ("--trainer.devices", "[]", "trainer.devices must be 1 or more, or -1 for all, not []"),
        ("--data.batch_size", "", "wrong value for data.batch_size: ''"),
        ("--trainer.strategy", "ddp_spawn", "trainer.strategy ddp_spawn cannot be used: it copies"),
        ("--trainer.strategy", "nothing", "invalid strategy name: `strategy='nothing'`"),
        ("--trainer.num_nodes", 0, "trainer.num_nodes must be a positive integer, but got 0"),
        ("--trainer.devices", 99, "data.batch_size 16 cannot be shared equally by 99 processes"),
        ("--seed_everything", -1, "seed_everything must be 0 to 4294967295, not -1"),
    ],
)
def test_an_impossible_value_is_refused_with_what_is_possible(
    capsys: pytest.CaptureFixture[str], sample: Path, flag: str, value: object, expected: str
) -> None:
    assert expected in _error(capsys, "--data.root", sample, flag, value)[0]


@pytest.mark.parametrize(
    ("flag", "value", "expected"),
    [
        ("--trainer.val_check_interval", 1000, "trainer.val_check_interval (1000) must be less"),
        ("--trainer.limit_train_batches", 0.01, "requested to check 0.01 of the `train_dataload"),
        ("--model.optimizer.lr", -1, "model.optimizer cannot be built: Invalid learning rate"),
    ],
)
def test_what_only_the_data_and_the_network_show_is_refused_without_a_folder(
    capsys: pytest.CaptureFixture[str],
    sample: Path,
    tmp_path: Path,
    flag: str,
    value: object,
    expected: str,
) -> None:
    assert expected in _error(capsys, "--data.root", sample, flag, value)[0]
    assert not list(tmp_path.iterdir())


def test_no_validation_is_no_mistake(capsys: pytest.CaptureFixture[str], sample: Path) -> None:
    words = ["--data.root", sample, "--trainer.limit_val_batches", 0]
    assert run("fit", *words, "--trainer.max_steps", 1) == 0
    assert "ended by trainer.max_steps after 1 step\n" in capsys.readouterr().err


def test_a_value_that_only_the_network_refuses_is_told_in_a_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["--model.net=places.models.VGG", "--model.net.dropout=3"]
    assert _error(capsys, *words) == [
        "places: error: dropout probability has to be between 0 and 1, but got 3.0"
    ]


def test_a_file_in_place_of_the_folder_of_shards_is_named(
    capsys: pytest.CaptureFixture[str], sample: Path
) -> None:
    assert _error(capsys, "--data.root", sample / "train.json") == [
        f"places: error: {sample}/train.json is a file",
        f"  give the folder of the shards:  {sample}",
    ]


def test_demo_data_that_are_missing_can_be_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    lines = _error(capsys, "--data.root", "data/sample")
    assert lines[3] == "  or draw:    places sample --root data/sample"


@pytest.mark.parametrize("stage", ["fit", "validate", "test"])
def test_photographs_without_labels_are_for_predict_only(
    capsys: pytest.CaptureFixture[str], stage: str
) -> None:
    words = ["--data=ImageFiles", "--data.images=photos", "--random_weights"]
    words.append("--trainer.max_epochs=1")
    assert main([stage, *words, "--model.net=tests.networks.Tiny", "--trainer.logger=false"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"places: error: ImageFiles has no labels, so it cannot {stage}\n")


def test_an_evaluation_crop_of_photographs_must_fit(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--data=ImageFiles", "--data.images=photos", "--data.image_size=300"]
    assert main(["predict", "--random_weights", *words]) == 2
    assert "data.image_size 300 is larger than data.resize_size 256" in capsys.readouterr().err


def test_weights_of_another_network_are_told_in_four_lines(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    state = Tiny(365).state_dict()
    state["0.weight"] = state["0.weight"][..., None]
    state["other.weight"] = state.pop("3.weight")
    torch.save(state, tmp_path / "bad.pth")
    lines = _error(capsys, "--model.weights", "bad.pth")
    assert lines[0].endswith("bad.pth does not fit the network Tiny: another network or depth?")
    assert [line.split(":")[0] for line in lines[1:]] == [
        "  1 missing",
        "  1 unexpected",
        "  1 of another shape",
    ]


def test_a_checkpoint_in_the_old_format_is_for_weights_only(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    state = {"state_dict": Tiny(365).state_dict()}
    torch.save(state, tmp_path / "old.pth.tar", _use_new_zipfile_serialization=False)
    assert _error(capsys, "--ckpt_path", "old.pth.tar") == [
        "places: error: old.pth.tar was not written by places, so it does not say how its network "
        "is built",
        "  use it as weights:  --config RECIPE --model.weights old.pth.tar",
    ]


def test_weights_and_biases_without_an_account_says_how_to_go_on(
    capsys: pytest.CaptureFixture[str], sample: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb = pytest.importorskip("wandb")

    def refuse(**_: object) -> None:
        raise wandb.errors.UsageError("No API key configured. Use `wandb login` to log in.")

    monkeypatch.setattr(wandb, "init", refuse)
    lines = _error(capsys, "--data.root", sample, "--config", "overlays/wandb.yaml")
    assert lines[1:] == [
        "  log in:             wandb login",
        "  without a network:  put  WANDB_MODE=offline  before  places",
    ]


@pytest.mark.no_cover
def test_a_start_that_failed_leaves_nothing_behind(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    _error(capsys, "--data.root", "nowhere")
    assert not list(tmp_path.iterdir())


_COMMAND = '{"class_path": "%s", "init_args": {"command": "touch ran"}}'


@pytest.mark.parametrize("name", ["os.system", "subprocess.getoutput", "torch.os.system"])
@pytest.mark.parametrize("flag", ["model", "model.net", "model.optimizer", "data"])
def test_nothing_of_the_standard_library_is_named_in_a_recipe(
    capsys: pytest.CaptureFixture[str], flag: str, name: str
) -> None:
    lines = _error(capsys, f"--{flag}={_COMMAND % name}")
    assert re.fullmatch(
        rf"places: error: wrong value for {flag}: (os|posix|subprocess)\.\w+", lines[0]
    )
    assert lines[-1].startswith("  it is never imported: ")
    assert not Path("ran").exists()


@pytest.mark.first_covers
@pytest.mark.parametrize("flag", ["callbacks", "logger", "plugins", "profiler", "strategy"])
def test_nor_for_the_trainer(capsys: pytest.CaptureFixture[str], flag: str) -> None:
    _error(capsys, f"--trainer.{flag}={_COMMAND % 'os.system'}")
    assert not Path("ran").exists()


def test_a_function_is_no_class(capsys: pytest.CaptureFixture[str], sample: Path) -> None:
    words = ["--data.root", sample, "--model.net=tests.integration.test_mistakes.small"]
    assert run("fit", "--trainer.fast_dev_run", 1, *words) == 0, "a function may make the network"
    capsys.readouterr()
    assert main(["fit", "--data=tests.integration.test_mistakes.data"]) == 2
    assert capsys.readouterr().err.splitlines()[0] == (
        "places: error: data takes the name of a class, "
        "tests.integration.test_mistakes.data is a function"
    )


def small(num_classes: int) -> torch.nn.Module:
    """Return a network."""
    return Tiny(num_classes)


def data() -> Places365:
    """Return what is no class."""
    raise AssertionError("called")


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
        + "".join(
            f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n" for a, b in itertools.pairwise("abcdefgh")
        ),
        "a: &a [*a]\n",
        "a: &a {b: *a}\n",
        "[" * 100_000,
        "a: " + "{b: " * 5000,
        "x: 1\n" * 20_000,
        "# " + "x" * 2**21,
    ],
    ids=["laughs", "endless", "endless keys", "deep", "deep keys", "twice", "large"],
)
def test_a_recipe_that_is_too_much_is_refused_at_once(
    capsys: pytest.CaptureFixture[str], text: str
) -> None:
    Path("recipe.yaml").write_text(text)
    assert "recipe.yaml" in _error(capsys, "--config", "recipe.yaml")[0]
