import inspect

import torch

from places import models
from places.cli.main import STAGES
from places.cli.resolve import resolve
from places.config.changes.leaves import leaves
from places.config.groups import group_of, is_named
from places.data.image_files import ImageFiles


def test_each_key_of_the_parser_has_a_group() -> None:
    # Of all stages; what they need to be parsed at all is given.
    needed = {"predict": ["--data", "ImageFiles", "--data.images", "photos"]}
    keys = {key for stage in STAGES for key in leaves(resolve([stage, *needed.get(stage, [])]))}
    for flag, kind in {"model.net": models.VGG, "data": ImageFiles}.items():
        keys |= {f"{flag}.{name}" for name in inspect.signature(kind).parameters}
    assert len(keys) > 130
    assert not [key for key in keys if not is_named(key)]


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
