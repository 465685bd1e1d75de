"""Words of a command line as people type them who know other programs, or hurry."""

from pathlib import Path

import pytest
import yaml

from places.cli.main import main


def _told(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    capsys.readouterr()
    assert main([*words]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) <= 4
    return lines


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        # A recipe without a name.
        (["fit", "--config="], "the name of a recipe is empty"),
        (["fit", "--config", ""], "the name of a recipe is empty"),
        (["config", "show", "/"], "/ is a folder, and no recipe"),
        (["fit", "--config"], "no value for --config"),
        (["fit", "--data.seed"], "no value for --data.seed"),
        (["fit", "--model.net.depth", "--seed_everything", "3"], "no value for --model.net.depth"),
        (["fit", "--model.optimizer.lr", "0.1", "--model"], "no value for --model"),
        # What stands before the command is no command.
        (["--config", "demo.yaml"], "--config stands before a command"),
        (["--versoin"], "--versoin stands before a command"),
        (["-x", "fit"], "-x stands before a command"),
        # Tools.
        (["runs", "nothing"], "unexpected word 'nothing'"),
        (["bench", "loader", "x", "--consume"], "no value for --consume"),
        (["fit", "--seed_everything", "99999999999999"], "to 4294967295, not 99999999999999"),
    ],
)  # fmt: skip
def test_mistakes_are_called_what_they_are(
    capsys: pytest.CaptureFixture[str], words: list[str], expected: str
) -> None:
    assert expected in _told(capsys, *words)[0]


@pytest.mark.parametrize("flag", ["model.augment", "resume"])
def test_a_value_in_place_of_settings_is_refused(
    capsys: pytest.CaptureFixture[str], flag: str
) -> None:
    assert _told(capsys, "fit", f"--{flag}", "yes") == [
        f"places: error: wrong value for {flag}: yes",
        f"  given in:     --{flag}",
        "  takes:        settings by their names, each an option of its own or a key",
    ]


def test_a_flag_that_takes_no_value_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert _told(capsys, "pack", "x", "--skip_other_files", "true") == [
        "places: error: unexpected word 'true'",
        "  --skip_other_files takes no value: leave the word out",
        "  all options:  places pack --help",
    ]


@pytest.mark.parametrize(
    ("typed", "ours"),
    [
        ("lr", "model.optimizer.lr"),
        ("epochs", "trainer.max_epochs"),
        ("gpus", "trainer.devices"),
        ("ckpt", "ckpt_path"),
        ("num-workers", "data.num_threads"),
    ],
)
def test_names_of_other_programs_lead_to_ours(
    capsys: pytest.CaptureFixture[str], typed: str, ours: str
) -> None:
    assert f"  nearest:      {ours}" in _told(capsys, "fit", f"--{typed}", "3")


def test_a_device_that_is_not_there_is_answered_with_the_way_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    lines = _told(capsys, "fit", "--trainer.accelerator", "cuda", "--random_weights")
    assert lines[0].startswith("places: error: trainer.accelerator: ")
    assert lines[-1] == "  or go without:      --trainer.accelerator cpu"


@pytest.mark.parametrize("flag", ["--config", "-c", "--config="])
def test_flags_win_over_recipes_wherever_they_stand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: str
) -> None:
    names = [str(tmp_path / name) for name in ("first.yaml", "second.yaml")]
    Path(names[0]).write_text("trainer: {max_epochs: 6, max_steps: 6}\n", encoding="utf-8")
    Path(names[1]).write_text("trainer: {max_steps: 7}\n", encoding="utf-8")
    given = [[f"{flag}{name}"] if flag.endswith("=") else [flag, name] for name in names]
    words = [*given[0], "--trainer.max_epochs", "3", *given[1], "--print_config"]
    assert main(["fit", *words]) == 0
    trainer = yaml.safe_load(capsys.readouterr().out)["trainer"]
    assert (trainer["max_epochs"], trainer["max_steps"]) == (3, 7)
