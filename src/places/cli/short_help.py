"""`places fit --help`: the options that people use, on one screen, without importing torch."""

import re
import textwrap
from collections.abc import Iterator, Mapping

from places.cli.option_table import Option, load_options
from places.console import put

_WIDTH = 100
_TEXT_START = 36

# For each group of options an example of each, and a text where the docstring is Lightning's or
# speaks of another stage.
Group = list[tuple[str, str]]
_RUN: Group = [
    ("--config demo.yaml", "recipe, ours by name or your file; of several the later wins"),
    ("--ckpt_path last", "resume from there: the newest run, a folder, a file, a URL"),
    ("--trainer.max_epochs 30", "epochs"),
    ("--trainer.max_time 00:11:30:00", "stop after days:hours:minutes:seconds, to resume later"),
    ("--trainer.fast_dev_run true", "one batch of each kind, to see that all works"),
]
_PAGE: Group = [("--report false", "no page of the run at its end, report.html")]
_NETWORK: Group = [
    ("--model.net VGG", "the network, any nn.Module by its path"),
    ("--model.net.depth 16", "its options; all: --model.net.help VGG"),
    ("--model.weights best.ckpt", ""),
    ("--model.replace_head true", "leave the last layer random where classes differ"),
    ("--model.compile true", "compile the network with torch.compile"),
]
_RECIPE: Group = [
    ("--model.optimizer AdamW", "the optimizer, any of torch.optim by its name"),
    ("--model.optimizer.lr 0.1", "its options; all: --model.optimizer.help AdamW"),
    ("--model.schedule cosine", "learning rate: cosine, linear, steps or constant"),
    ("--model.warmup_epochs 5", ""),
    ("--model.label_smoothing 0.1", "part of each label that is spread over all classes"),
    ("--model.augment.mixup 0.2", "alpha of mixup; also cutmix, erase, trivial, rand"),
    ("--model.average_decay 0.9999", "keep a moving average of the weights"),
]
_DATA: Group = [
    ("--data.root data/places", "folder with shards, or its URL"),
    ("--data.batch_size 256", ""),
    ("--data.image_size 224", "height and width of the network's input in pixels"),
    ("--data.num_threads 8", ""),
    ("--data.bad_samples skip", 'damaged samples: "raise" stops, "skip" names them'),
]
_MACHINE: Group = [
    ("--trainer.devices 4", "GPUs, or processes on a CPU"),
    ("--trainer.num_nodes 2", "machines"),
    ("--trainer.precision bf16-mixed", "precision of the arithmetic"),
    ("--seed_everything 1", "seed of weights, augmentation and dropout"),
]
_SCORED: Group = [
    ("--ckpt_path runs/demo/0", "a run (its best weights), a checkpoint or its URL"),
    ("--model.weights resnet18.pth.tar", "weights of others: torchvision, timm, CSAIL"),
    ("--config resnet18.yaml", "recipe, where the weights do not tell their network"),
    ("--model.net VGG", "network, likewise"),
]
_SCORES: Group = [
    ("--test.crops 10", "average ten crops of each picture; 1 scores its centre"),
    ("--test.flip true", "average the centre and its mirror image"),
    ("--test.topk 5", ""),
]
_PICTURES: Group = [
    ("--predictions.file out.parquet", "the table: .csv, .jsonl or .parquet"),
    ("--predictions.top_k 5", "categories for each picture, best first"),
    ("--predictions.embeddings out.npy", "also write the features of each picture"),
    ("--predictions.sort_into sorted", "sort the files into a folder for each category, as links"),
    ("--predictions.gallery false", "no page to look at"),
    ("--predictions.overwrite true", "start anew, whatever is in the files that are named"),
]
_READING: Group = [
    ("--data.images photos", "pictures, as PICTURES; for recipes"),
    ("--data.null true", "paths of a list end with zero bytes, as of find -print0"),
    ("--data.batch_size 32", "pictures per step over all processes"),
    ("--data.max_pixels 250000000", "larger JPEGs are decoded smaller, others are refused"),
    ("--data.exact true", ""),
    ("--data.num_threads 8", ""),
]
_STAGES: dict[str, tuple[str, dict[str, Group]]] = {
    "fit": (
        "Train a network; scores, curves and checkpoints land in runs/RECIPE/NUMBER.",
        {
            "run": [*_RUN, *_PAGE],
            "network": _NETWORK,
            "recipe": _RECIPE,
            "data": _DATA,
            "machine": _MACHINE,
        },
    ),
    "validate": (
        "Score a network on the validation split.",
        {"network": _SCORED, "data": _DATA, "machine": _MACHINE},
    ),
    "test": (
        "Score a network and write result.json, or for the split without labels submission.txt.",
        {
            "network": _SCORED,
            "scores": _SCORES,
            "data": [
                ("--data.test_split test", 'split: "val" has labels, "test" has none'),
                *_DATA,
            ],
            "machine": [*_MACHINE, *_PAGE],
        },
    ),
    "predict": (
        "Classify pictures: a table, and a page to look at, in runs/RECIPE/NUMBER.",
        {"network": _SCORED, "table": _PICTURES, "pictures": _READING, "machine": _MACHINE},
    ),
}
_USAGE = {"predict": "PICTURES... "}
_PICTURES_ARE = """\
PICTURES:
  files, folders, patterns in quotes such as "photos/*.jpg", tars such as
  "val-{000000..000003}.tar", URLs of these, @FILE for a list, - for one on standard input
"""


def show_help(stage: str) -> int:
    """Print the short help of a stage."""
    put(help_of(stage))
    return 0


def help_of(stage: str) -> str:
    """Return the short help of a stage: each option by an example, with its default."""
    what, groups = _STAGES[stage]
    options = load_options(stage)
    lines = [f"usage: places {stage} {_USAGE.get(stage, '')}[--OPTION VALUE ...]", "", what, ""]
    if stage == "predict":
        lines += [*_PICTURES_ARE.splitlines(), ""]
    for title, group in groups.items():
        lines.append(f"{title}:")
        for example, text in group:
            lines += _row(example, text, options)
    return "\n".join([*lines, "", *_more(stage)])


def names_in(stage: str) -> Iterator[str]:
    """Yield the names of the options that the short help of a stage shows."""
    for group in _STAGES[stage][1].values():
        yield from (example.split()[0].lstrip("-") for example, _ in group)


def _row(example: str, text: str, options: Mapping[str, Option]) -> list[str]:
    name = example.split()[0].lstrip("-")
    option = options.get(name)  # none where a class that is chosen has it
    if option is not None:
        text = text or _first_sentence(option.help)
        text += f" [{option.default}]" if option.default not in ("", "null") else ""
    start = f"  {example}"
    wrapped = textwrap.wrap(text, _WIDTH - _TEXT_START)
    first = f"{start:<{_TEXT_START - 1}} {wrapped[0]}"
    return [first, *(" " * _TEXT_START + line for line in wrapped[1:])]


def _first_sentence(text: str) -> str:
    sentence = re.split(r"(?<=[a-z\"\)])\. |; |: ", text, maxsplit=1)[0].rstrip(".")
    return sentence[:1].lower() + sentence[1:]


def _more(stage: str) -> list[str]:
    return [
        f"all options:  places {stage} --help_all",
        "as YAML:      places config show demo",
        "In brackets the defaults. A recipe sets the same options; what is typed wins.",
    ]
