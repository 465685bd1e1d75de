"""The record of a run: its resolved config, in its folder and in its checkpoints."""

import copy
import functools
import time
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import Namespace
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser, SaveConfigCallback
from lightning.pytorch.trainer.states import TrainerFn

from places import __version__
from places.categories import load_categories
from places.checkpoints.contents import CHECKPOINT_KEY, FORMAT_VERSION
from places.config.config_hash import NUM_SHOWN, config_hash
from places.console import say
from places.data.places365 import Places365
from places.files import write_text
from places.lightning_internals import data_module
from places.resume.cost import COST_KEY, Cost, cost_of
from places.resume.logger_ids import KEY, ids_of


class RunRecord(SaveConfigCallback):
    """Writes `config.yaml`, and makes checkpoints usable without their recipe.

    All that is needed for that goes into each checkpoint under the key `places`.

    Args:
        parser: The parser of the stage.
        config: Its config.
        recipe: Name of the recipe, which names the folders of later runs.
        asked: The config as it was asked for, which is what is recorded.
        **options: As `SaveConfigCallback` takes them.
    """

    def __init__(
        self,
        parser: LightningArgumentParser,
        config: Namespace,
        recipe: str,
        asked: Namespace,
        **options: Any,  # noqa: ANN401  # see above
    ) -> None:
        # Lightning writes the file in place: a full disk would leave a part of it.
        super().__init__(parser, asked, save_to_log_dir=False, **options)
        self.recipe = recipe
        self._cost: Cost | None = Cost()
        self._since_s = time.monotonic()

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the file, and say where the run is."""
        digest = config_hash(self.resolved_config())
        header = f"# places {TrainerFn(stage).value}\n# config_hash: {digest}\n"
        text = header + self._text
        write_text(Path(trainer.default_root_dir) / self.config_filename, text)
        if stage == "fit":
            say(f"this run is {trainer.default_root_dir}, config {digest[:NUM_SHOWN]}")

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the resolved config and its hash, categories, digest of the data, versions, cost."""
        data = data_module(trainer)
        manifest = data.manifests.get("train") if isinstance(data, Places365) else None
        config = self.resolved_config()
        for part in ("model", "data"):  # a class of others may take no arguments
            config[part].setdefault("init_args", {})
        checkpoint[CHECKPOINT_KEY] = {
            "version": FORMAT_VERSION,
            "recipe": self.recipe,
            "config": config,
            "config_hash": config_hash(config),
            "categories": list(load_categories()),
            "manifest_digest": manifest.digest if manifest else None,
            "versions": {
                "places": __version__,
                "torch": version("torch"),
                "lightning": version("lightning"),
            },
            KEY: ids_of(trainer.loggers),
            COST_KEY: self.cost_so_far(),
        }

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Go on counting where the checkpoint stopped; of earlier versions nothing is known."""
        self._cost = cost_of(checkpoint.get(CHECKPOINT_KEY, {}))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the clock."""
        self._since_s = time.monotonic()

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401  # Lightning's type
        batch: Any,  # noqa: ANN401  # likewise
        batch_idx: int,
    ) -> None:
        """Count the pictures of a step."""
        if self._cost and isinstance(batch, Mapping) and "image" in batch:
            self._cost.num_images += len(batch["image"]) * trainer.world_size

    def cost_so_far(self) -> dict[str, Any] | None:
        """Return `num_images` and `seconds` of the training; `None` where a part is not known."""
        if self._cost is None:
            return None
        now_s = time.monotonic()
        self._cost.seconds += now_s - self._since_s
        self._since_s = now_s
        return asdict(self._cost)

    def resolved_config(self) -> dict[str, Any]:
        """Return the resolved config as plain values, a copy of its own for each caller."""
        return copy.deepcopy(self._resolved)

    # They stay as they are, and making them takes longer than most steps of a training.

    @functools.cached_property
    def _text(self) -> str:
        text: str = self.parser.dump(self.config, skip_unset=False)
        return text

    @functools.cached_property
    def _resolved(self) -> dict[str, Any]:
        config: dict[str, Any] = yaml.safe_load(self._text)
        return config
