import inspect
import tomllib
from pathlib import Path

import torch

import places
from places import models
from places.cli.main import STAGES
from places.cli.resolve import resolve
from places.config.changes.leaves import leaves
from places.config.groups import group_of, is_named
from places.data import WebDataset
from places.data.image_files import ImageFiles

TABLE = Path(places.__file__).parent / "config" / "groups.toml"
# Whose options are not ours to list.
CLASSES_OF_OTHERS = {
    *("trainer.logger", "trainer.callbacks", "trainer.profiler", "trainer.strategy"),
}


def test_each_key_of_the_parser_has_a_group() -> None:
    # Of all stages; what they need to be parsed at all is given.
    needed = {"predict": ["--data", "ImageFiles", "--data.images", "photos"]}
    keys = {key for stage in STAGES for key in leaves(resolve([stage, *needed.get(stage, [])]))}
    for flag, kind in [
        ("model.net", models.VGG),
        ("model.net", models.ResNet),
        ("data", ImageFiles),
        ("data", WebDataset),
    ]:
        keys |= {f"{flag}.{name}" for name in inspect.signature(kind).parameters}
    keys -= {"model.net.num_classes"}  # which the model gives
    assert len(keys) > 140
    lines = tomllib.loads(TABLE.read_text())
    # By its own line: a wildcard would take in what is added later, without a decision.
    assert sorted(keys - lines.keys()) == []
    wild = {line for line in lines if "*" in line}
    assert {line.partition("[")[0].removesuffix(".*") for line in wild} <= CLASSES_OF_OTHERS
    left = {line for line in lines if line not in keys | wild}
    assert left == {"model.optimizer.capturable"}, "what is no option any more has no line"
    assert all(is_named(key) for key in keys)


def test_an_option_that_is_new_is_not_taken_in_by_another_line() -> None:
    for group in ("", "model.", "model.net.", "model.optimizer.", "data.", "trainer.", "test."):
        assert not is_named(f"{group}new"), group
    for group in ("checkpoint.", "resume.", "predictions."):
        assert not is_named(f"{group}new"), group


def test_the_last_rule_that_matches_wins_and_what_is_unknown_counts() -> None:
    for key, group in {
        "trainer.max_epochs": "results",
        "trainer.logger[WandbLogger].project": "output",
        "trainer.logger": "output",
        "trainer.callbacks[EarlyStopping].patience": "results",
        "trainer.callbacks[LearningRateMonitor].class_path": "output",
        "model.net.checkpoint_gradients": "speed",
        "model.optimizer.fused": "speed",
        "model.optimizer.lr": "results",
        "data.num_threads": "speed",
        "data.root": "results",
        "something.new": "results",
    }.items():
        assert group_of(key) == group, key
    fused = inspect.signature(torch.optim.SGD).parameters
    assert {"fused", "foreach"} <= set(fused)
