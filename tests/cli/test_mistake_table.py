"""Mistakes and the whole of what each is answered with: `mistakes.txt`, to be read by people.

After a change that is wanted:  python -m tests.cli.test_mistake_table > tests/cli/mistakes.txt
"""

import contextlib
import io
import tempfile
from pathlib import Path

import pytest

from places.cli.main import main

HERE = Path(__file__).parent
TABLE = HERE / "mistakes.txt"
FILES = {
    "empty.yaml": "",
    "comment.yaml": "# nothing yet\n",
    "list.yaml": "- a\n- b\n",
    "text.yaml": "just words\n",
    "broken.yaml": "data:\n  seed: [1\n",
    "twice.yaml": "data:\n  seed: 1\n  seed: 2\n",
    "key.yaml": "model:\n  label_smothing: 0.1\n",
    "group.yaml": "modle:\n  schedule: cosine\n",
    "trainer.yaml": "trainer:\n  max_epoch: 3\n",
    "null.yaml": "data:\n  seed: 1\n  batch_size:\n",
    "range.yaml": "model:\n  label_smoothing: 7\n",
    "kind.yaml": "data:\n  batch_size: many\n",
    "momentum.yaml": (
        "model:\n  optimizer:\n    class_path: torch.optim.AdamW\n"
        "    init_args:\n      momentum: 0.9\n"
    ),
    "depth.yaml": (
        "model:\n  net:\n    class_path: places.models.ResNet\n    init_args:\n      dept: 18\n"
    ),
    "class.yaml": "model:\n  net: places.models.RestNet\n",
    "flat.yaml": "batch_size: 3\n",
    "map.yaml": "data:\n  seed: {a: 1}\n",
    "secret.yaml": (
        "trainer:\n  logger:\n    class_path: WandbLogger\n    init_args: {api_key: abcdef}\n"
    ),
    "text.ckpt": "hello",
    "labels.txt": "a b c\n",
}


def read_table() -> dict[str, list[str]]:
    """Return the lines of the answer for each command."""
    parts = TABLE.read_text("utf-8").split("$ places ")[1:]
    return {lines[0]: lines[1:] for lines in (part.strip().splitlines() for part in parts)}


def answer(words: list[str]) -> list[str]:
    """Return what a command says on stderr; the checkout's own path is left out."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        assert main(words) == 2, words
    return said.getvalue().replace(str(HERE.parents[1]), "CHECKOUT").splitlines()


def write_files() -> None:
    """Write the files that the commands name into the current folder."""
    for name, text in FILES.items():
        Path(name).write_text(text, "utf-8")
    Path("folder").mkdir()


@pytest.mark.slow
def test_every_mistake_has_its_answer() -> None:
    write_files()
    table = read_table()
    assert len(table) >= 60
    for command, expected in table.items():
        lines = answer(command.split())
        assert lines == expected, command
        assert len(lines) <= 4, command
        assert lines[0].startswith("places: error: "), command
    assert not Path("runs").exists(), "a refused command leaves no folder"


if __name__ == "__main__":
    found = read_table()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        write_files()
        for command in found:
            print(f"$ places {command}", *answer(command.split()), sep="\n", end="\n\n")
