"""What the Tab key offers, asked of the shells themselves."""

import shutil
import subprocess
from pathlib import Path

import pytest

from places.cli.main import COMMANDS, main

BASH = """
source ./bash.script
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_places 2> errors
printf '%s\\n' "${COMPREPLY[@]}"
"""
# Its own functions for completion work only while a key is handled; these print what they get.
ZSH = """
compdef() { : }
compadd() { shift; print -rl -- "$@" }
_describe() { print -rl -- ${${(P)2}%%:*} }
_files() { : }
compset() { PREFIX=${PREFIX#*=} }
source ./zsh.script
words=("$@") CURRENT=$# PREFIX=$words[-1]
_places
"""


@pytest.fixture
def _here(capsys: pytest.CaptureFixture[str]) -> None:
    Path("runs/demo/7/checkpoints").mkdir(parents=True)
    Path("configs").mkdir()
    Path("configs/mine.yaml").write_text("")
    for shell in ("bash", "zsh", "fish"):
        assert main(["completion", shell]) == 0
        text = capsys.readouterr().out
        assert len(text.encode()) < 200_000
        Path(f"{shell}.script").write_text(text)


def _bash(*words: str) -> list[str]:
    command = ["bash", "--norc", "-c", BASH, "bash", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "not found" not in Path("errors").read_text()
    return [line for line in done.stdout.splitlines() if line]


def _zsh(*words: str) -> list[str]:
    command = ["zsh", "-f", "-c", ZSH, "zsh", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert not done.stderr
    # zsh itself leaves out what does not begin with what was typed.
    return [line for line in done.stdout.splitlines() if line.startswith(words[-1])]


def _fish(*words: str) -> list[str]:
    line = " ".join(words)
    command = ["fish", "--no-config", "-c", f"source fish.script; complete -C '{line}'"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert not done.stderr
    return [line.partition("\t")[0] for line in done.stdout.splitlines()]


CASES = [
    (["places", ""], {"fit", "predict", "bench", "doctor"}, {"--help"}),
    (["places", "ver"], {"verify"}, {"fit"}),
    (["places", "bench", ""], {"loader", "step"}, {"fit"}),
    (["places", "config", "d"], {"diff"}, {"show"}),
    (["places", "completion", "z"], {"zsh"}, {"bash"}),
    (["places", "fit", "--trainer.max_e"], {"--trainer.max_epochs"}, {"--data.root"}),
    (["places", "fit", "--he"], {"--help", "--help_all"}, set()),
    (["places", "predict", "--data.im"], {"--data.images", "--data.image_size"}, {"--data.root"}),
    (["places", "fit", "--model.schedule", ""], {"cosine", "steps", "constant"}, {"fit"}),
    (["places", "fit", "--config", "de"], {"demo.yaml"}, {"resnet50.yaml"}),
    (["places", "fit", "--config", "over"], {"overlays/wandb.yaml"}, {"demo.yaml"}),
    (["places", "fit", "--config", "configs/m"], {"configs/mine.yaml"}, {"demo.yaml"}),
    (["places", "test", "--ckpt_path", ""], {"last", "runs/demo/7"}, {"fit"}),
    (["places", "pack", "--no-m"], {"--no-md5"}, set()),
    (["places", "runs", "--format", ""], {"table", "json"}, set()),
    (["places", "bench", "loader", "--ru"], {"--runs"}, set()),
]


@pytest.mark.usefixtures("_here")
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_what_is_offered(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    for words, some, none in CASES:
        offered = {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](*words)
        assert some <= set(offered), (words, offered)
        assert not none & set(offered), (words, offered)
        assert all(line.startswith(words[-1]) for line in offered)


@pytest.mark.usefixtures("_here")
def test_an_equals_sign_may_stand_between() -> None:
    assert _bash("places", "fit", "--model.schedule", "=", "c") == ["cosine", "constant"]
    assert _bash("places", "fit", "--model.schedule", "=") == [
        "cosine",
        "linear",
        "steps",
        "constant",
    ]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_command_is_in_it(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    text = capsys.readouterr().out
    for name in COMMANDS:
        assert all(word in text for word in name.split())


def test_another_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "cmd"]) == 2
    assert "bash" in capsys.readouterr().err
