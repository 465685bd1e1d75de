"""LightningCLI as the stages use it: its defaults, its flags, and what is refused before a run."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from jsonargparse import ActionYesNo, Namespace
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities import rank_zero_only

from places.checkpoints.choose import choose_checkpoint
from places.checkpoints.contents import (
    CHECKPOINT_KEY,
    changed_settings,
    check_network,
    check_optimizer,
    describe_changes,
    read_checkpoint,
)
from places.checkpoints.runs import RUNS, claim_run_folder, remove_refused, remove_unused
from places.cli.bare_names import prefer_ours
from places.cli.library_errors import mistake_behind, mistake_in_building
from places.cli.logger_parts import LoggedRun, check_packages
from places.cli.net_arguments import leave_out_num_classes
from places.cli.part_classes import classes_of
from places.cli.stage_config import StageConfig
from places.cli.stage_parser import PlacesParser
from places.cli.stored_config import flags_of_network, take_over
from places.cli.trainer_parts import (
    logger_mistake,
    run_callbacks,
    run_loggers,
    run_plugins,
    with_bar,
)
from places.cli.trainer_values import check_parts_are_on, check_trainer_values
from places.cli.weights_words import with_mean_of_weights
from places.config.compare import compare, value_text
from places.config.ranges import check_range
from places.config.recipes import as_typed, find_recipes
from places.config.secrets import (
    masked,
    refuse_secrets,
    refuse_secrets_in,
    refuse_typed_secrets,
    without_credentials,
)
from places.config.trust import (
    check_classes,
    check_trusted,
    deny_standard_library,
    named_packages,
)
from places.config.written import written_flags, written_keys
from places.console import is_first_process, say
from places.data.places365 import Places365
from places.data.remote.urls import is_url
from places.data.streaming.plan import check_batch_size
from places.errors import CheckpointError, ConfigError, PlacesError
from places.lightning_internals import happened_in_restoring
from places.reports.prediction_state import PredictionState, predictions_of, unfinished_run
from places.reports.predictions import Predictions
from places.reports.profile import keep_profile
from places.reports.run_log import RunLog
from places.reports.scoring_protocol import ScoringProtocol
from places.resume.best import DEFAULTS, BestCheckpoint
from places.resume.logger_ids import stored_ids
from places.resume.monitors import check_monitors
from places.resume.points import ResumePoints
from places.resume.refused_parts import check_callbacks, check_checkpoint
from places.resume.run_record import RunRecord

_MODEL = "places.classifier.SceneClassifier"
_OFFICIAL = "http://places2.csail.mit.edu/models_places365/resnet18_places365.pth.tar"
_DATA = "places.data.places365.Places365"
WITH_PAGE = ("fit", "test")  # stages that make a page of the run at their end
# Of Lightning's own arguments: our table of scores says more than its, and predictions would all be
# kept in memory until the end.
_OTHER_DEFAULTS = {
    "validate": {"verbose": False},
    "test": {"verbose": False},
    "predict": {"return_predictions": False},
}
# Never made, so empty: on SLURM Lightning resumes from any hpc_ckpt_* in the folder of the run.
_NEVER_MADE = RUNS / "never_made"


@dataclass(frozen=True)
class _Start:
    """From what a stage starts: what parsing finds for the hooks after it."""

    recipe: str  # its name, or an empty string
    checkpoint: Path | None
    url: str | None  # where the checkpoint came from, without credentials
    # What flags and files changed of the checkpoint's config: its value and the new one.
    changes: dict[str, tuple[Any, Any]]
    logger_ids: dict[str, str] = field(default_factory=dict)  # of a run that is resumed


class PlacesCLI(LightningCLI):
    """LightningCLI with `SceneClassifier` and `Places365` as its defaults.

    Values are taken from flags, then from files, then from the checkpoint, then from defaults.

    Args:
        words: The command line after `places`.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self._asked_stage = words[0] if words else ""
        deny_standard_library()
        prefer_ours()
        leave_out_num_classes()
        refuse_typed_secrets(words)
        self._recipes, args = find_recipes(words)
        for recipe in self._recipes:
            refuse_secrets_in(recipe)
        self._words = [str(masked(word)) for word in words]  # a URL may have credentials
        self._asked: Namespace | None = None
        self._folder: Path | None = None
        self._made_by: PredictionState | None = None  # on the first process
        self._start = _Start("", None, None, {})
        self._stage_parsers: dict[str, PlacesParser] = {}
        try:
            super().__init__(
                LightningModule,
                LightningDataModule,
                subclass_mode_model=True,
                subclass_mode_data=True,
                save_config_callback=RunRecord,
                save_config_kwargs={"overwrite": True},
                trainer_defaults={
                    "callbacks": run_callbacks(),
                    "default_root_dir": str(RUNS),
                    "enable_model_summary": False,  # `Bar` tells of the network in a line
                    "num_sanity_val_steps": 0,
                    "use_distributed_sampler": False,
                },
                seed_everything_default=0,
                # argparse would take --trainer.max_epoch for --trainer.max_epochs.
                parser_kwargs={
                    "prog": "places",
                    "allow_abbrev": False,
                    **{
                        stage: {"allow_abbrev": False, "stage": stage}
                        for stage in self.subcommands()
                    },
                },
                parser_class=PlacesParser,
                auto_configure_optimizers=False,
                load_from_checkpoint_support=False,
                args=args,
            )
        except BaseException as error:
            self._leave_no_number(error)
            is_told = isinstance(error, PlacesError) or self._start.checkpoint is None
            if is_told or not happened_in_restoring(error):
                raise
            raise CheckpointError(
                f"cannot go on from {self._start.checkpoint}: what it says of its run is damaged",
                f"{type(error).__name__}: {error}".partition("\n")[0],
                f"start anew from its weights:  --model.weights {self._start.checkpoint}",
            ) from error

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]  # Lightning's is static
        """Return the stage that is asked for: to make the parsers of all takes a while."""
        known = super().subcommands()
        stage = self._asked_stage
        return {stage: known[stage]} if stage in known else known

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add our defaults, our checkpoints and our flags."""
        assert isinstance(parser, PlacesParser)
        self._stage_parsers[parser.stage] = parser
        parser.set_defaults({"model": {"class_path": _MODEL}, "data": {"class_path": _DATA}})
        parser.add_lightning_class_args(BestCheckpoint, "checkpoint")
        parser.add_lightning_class_args(ResumePoints, "resume")
        parser.set_defaults({f"checkpoint.{key}": value for key, value in DEFAULTS.items()})
        if parser.stage == "predict":
            parser.add_lightning_class_args(Predictions, "predictions")
        if parser.stage == "test":
            parser.add_lightning_class_args(ScoringProtocol, "test")
        parser.add_argument(
            "--trust",
            nargs="+",
            default=[],
            metavar="PACKAGE",
            help="Packages, beside those that flags and recipes name, whose networks and other "
            "classes a checkpoint may name; they are imported, which runs their code.",
        )
        parser.add_argument(
            "--random_weights",
            action=ActionYesNo,
            nargs="?",
            default=False,
            help="Score a network that was never trained, for benchmarks.",
        )
        if parser.stage in WITH_PAGE:
            parser.add_argument(
                "--report",
                action=ActionYesNo,
                nargs="?",
                default=True,
                help="Make a page of the run at its end: report.html in its folder.",
            )

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parse, and again with the checkpoint's config as defaults if a checkpoint is given."""
        for known in _OTHER_DEFAULTS.keys() & self._stage_parsers.keys():
            self._stage_parsers[known].set_defaults(_OTHER_DEFAULTS[known])
        words = list(args) if isinstance(args, list) else []  # what __init__ gave
        words = with_mean_of_weights(words)
        self._configs = StageConfig(parser, self._stage_parsers, self._recipes)
        first_words = self._configs.first_words(words)
        self.config = self._configs.parse(first_words)
        stage = self.config.subcommand
        first = self.config[stage]
        recipe = self._recipes[0].stem if self._recipes else ""
        check_trusted(first.trust)
        timeout_s = first.get("data.init_args.timeout_s")
        root = Path(first.trainer.default_root_dir)
        checkpoint = choose_checkpoint(
            first.ckpt_path, root, recipe, timeout_s, is_resumed=stage == "fit"
        )
        defaults: dict[str, Any] = {}
        if checkpoint is not None:
            trusted = {*first.trust, *named_packages(words, self._recipes)}
            if stage != "fit" and (flags := flags_of_network(checkpoint, trusted)):
                words, checkpoint = [stage, *flags, *words[1:]], None
            else:
                parser_of_stage = self._stage_parsers[stage]
                stored_recipe, defaults = take_over(checkpoint, parser_of_stage, first, trusted)
                recipe = recipe or stored_recipe
        if checkpoint is not None or words != first_words:
            self.config = self._configs.parse(words)
        self.config = self._configs.with_own_arguments(self.config, words)
        changes = changed_settings(defaults, self._checked(words, checkpoint))
        if stage == "fit":
            check_optimizer(changes)
        if changes:
            say("\n  ".join(["not as in the checkpoint:", *describe_changes(changes)]))
        asked = first.ckpt_path
        url = without_credentials(asked) if asked and is_url(asked) else None
        ids = {}
        if checkpoint is not None and stage == "fit":
            ids = stored_ids(read_checkpoint(checkpoint)[CHECKPOINT_KEY])
        self._start = _Start(recipe, checkpoint, url, changes, ids)
        # Lightning would build what the file names; it is told of it in the next hook.
        self.config[stage].ckpt_path = None

    def _checked(self, words: Sequence[str], checkpoint: Path | None) -> dict[str, Any]:
        """Return the config with all its defaults, after a look at what may be in none."""
        stage, config = words[0], self.config[words[0]]
        check_callbacks(classes_of(config.trainer.callbacks))
        resolved = self._configs.resolved(stage, config)
        refuse_secrets(resolved, f"the config in {checkpoint}" if checkpoint else "the config")
        check_classes(resolved)
        self._configs.refuse_empty(resolved, words)
        check_range("seed_everything", int(config.seed_everything), 0, 2**32 - 1)
        return resolved

    def before_instantiate_classes(self) -> None:
        """Refuse to score random weights, and give the run its folder."""
        stage, config = str(self.subcommand), self.config[str(self.subcommand)]
        config.ckpt_path = self._start.checkpoint and str(self._start.checkpoint)
        weights = config.ckpt_path or config.get("model.init_args.weights")
        if stage != "fit" and not (weights or config.random_weights):
            raise ConfigError(
                f"{stage} needs a trained network: no --ckpt_path and no --model.weights",
                f"give a run:      places {stage} --ckpt_path runs/demo/0",
                f"or fetch one:    places {stage} --ckpt_path {_OFFICIAL}",
                "for benchmarks:  --random_weights",
            )
        check_parts_are_on(config.trainer)
        check_trainer_values(config.trainer, stage)
        if config.weights_only is False:
            raise ConfigError("--weights_only false would let a checkpoint run code; leave it out")
        check_packages(config.trainer.logger)
        if config.trainer.fast_dev_run:
            config.trainer.default_root_dir = str(_NEVER_MADE)
            config.trainer.logger = config.trainer.logger or False  # else Lightning looks for one
            return
        # The record holds what was asked for, without this run's folder: others run it again.
        asked = config.clone()
        asked.ckpt_path = self._start.url or config.ckpt_path
        self._asked = asked
        recipe = self._start.recipe or stage
        self.save_config_kwargs |= {"recipe": recipe, "asked": asked}
        # Only the first process makes a folder; Lightning tells the others where it is.
        make_folder = rank_zero_only(self._make_folder)
        self._folder = make_folder(Path(config.trainer.default_root_dir), recipe) or _NEVER_MADE
        config.trainer.default_root_dir = str(self._folder)
        run = LoggedRun(self._folder, stage, self._start.logger_ids)
        config.trainer.logger = run_loggers(config.trainer.logger, run)

    def _make_folder(self, root: Path, recipe: str) -> Path:
        """Return the folder of the run: a new one, or that of predictions that go on."""
        stage, config = str(self.subcommand), self.config[str(self.subcommand)]
        if stage != "predict":
            return claim_run_folder(root, recipe)
        resolved = self._configs.resolved(stage, config)
        weights = config.ckpt_path or config.get("model.init_args.weights")
        self._made_by = predictions_of(resolved, Path(weights) if weights else None)
        if config.predictions.file or config.predictions.overwrite:
            return claim_run_folder(root, recipe)
        return unfinished_run(root / recipe, self._made_by) or claim_run_folder(root, recipe)

    def instantiate_trainer(self, **kwargs: object) -> Trainer:
        """Add our plugins and our progress bar."""
        stage = str(self.subcommand)
        asked = self.config_init[stage].trainer
        parts = {"plugins": run_plugins(asked.plugins), "callbacks": with_bar(asked)}
        return super().instantiate_trainer(**parts, **kwargs)

    def instantiate_classes(self) -> None:
        """Build the network, the data and the trainer, and say in few lines what is wrong there."""
        try:
            super().instantiate_classes()
        except (ImportError, TypeError, ValueError) as error:
            mistake = logger_mistake(self.config[str(self.subcommand)].trainer.logger)
            raise mistake or mistake_in_building(error) from error

    def after_instantiate_classes(self) -> None:
        """Refuse a network that the checkpoint does not fit, and files like resume points."""
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]  # declared nowhere
            if isinstance(callback, Predictions):
                callback.made_by = self._made_by
            if isinstance(callback, RunLog):
                callback.told = self._told()
        for callback in self.trainer.checkpoint_callbacks:
            if isinstance(callback, ModelCheckpoint):
                check_checkpoint(callback)
        if self._folder is not None:  # of a trial, which has none, the profiler logs
            keep_profile(self.trainer)
        if self.subcommand == "fit":
            layers = [(path, str(path)) for path in self._recipes]
            written = {**written_keys(layers), **written_flags(self._words)}
            check_monitors(self.trainer, self.model, written)
        self._check_network()

    def _check_network(self) -> None:
        if isinstance(self.datamodule, Places365):  # before the other processes are started
            check_batch_size(self.datamodule.batch_size, self.trainer.world_size)
        path = self.config[str(self.subcommand)].ckpt_path
        if path is not None:
            check_network(self.model.state_dict(), Path(path), self._start.changes)

    def _leave_no_number(self, error: BaseException) -> None:
        """Remove the folder of a run that was refused: before its first step, or without scores."""
        trainer = getattr(self, "trainer", None)  # perhaps it was never built
        is_mistake = isinstance(error, Exception) and isinstance(mistake_behind(error), ConfigError)
        loop = trainer.fit_loop if trainer is not None and self.subcommand == "fit" else None
        has_begun = loop is not None and loop.total_batch_idx >= 0
        if is_mistake and not has_begun:
            remove_refused(self._folder)
        else:
            remove_unused(self._folder)

    def _told(self) -> dict[str, Any]:
        """Return what the record of a run holds of its command line."""
        recipes = [(str(path), sha256(path.read_bytes()).hexdigest()) for path in self._recipes]
        changes = self._changes()
        return {
            "command": ["places", *self._words],
            "recipe": self._start.recipe,
            "recipes": recipes,
            "checkpoint": self._start.url
            or (self._start.checkpoint and str(self._start.checkpoint)),
            "changes": None
            if changes is None
            else [
                (as_typed(key), value_text(key, before), value_text(key, now))
                for key, (before, now) in changes.items()
            ],
        }

    def _changes(self) -> dict[str, tuple[Any, Any]] | None:
        """Return what flags changed: of the checkpoint's config, else of the recipes."""
        if self._start.checkpoint is not None:
            return self._start.changes
        if not self._recipes or self._asked is None or not is_first_process():
            return None
        stage = str(self.subcommand)
        plain = self._configs.of_recipes(stage)
        return plain and compare(plain, self._configs.resolved(stage, self._asked))
