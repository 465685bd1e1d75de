"""fit, validate, test and predict: LightningCLI with flat recipes."""

import logging
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from inspect import signature
from pathlib import Path
from shlex import quote
from typing import Any

import torch
import yaml
from jsonargparse import ActionYesNo, Namespace
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities import rank_zero_only

from places.checkpoints.choose import choose_checkpoint
from places.checkpoints.contents import (
    CHECKPOINT_KEY,
    FORMAT_VERSION,
    ForeignCheckpointError,
    changed_settings,
    check_network,
    check_optimizer,
    check_parts,
    defaults_from,
    describe_changes,
    read_checkpoint,
)
from places.checkpoints.download import without_signature
from places.checkpoints.exported import flags_of_exported
from places.checkpoints.runs import RUNS, claim_run_folder, remove_refused, remove_unused
from places.checkpoints.whole import check_whole
from places.cli.bare_names import prefer_ours
from places.cli.empty_values import refuse_empty
from places.cli.error_messages import Refused, mistake_behind, mistake_in_building, with_place
from places.cli.logger_parts import LoggedRun, check_packages
from places.cli.net_arguments import leave_out_num_classes
from places.cli.part_classes import classes_of
from places.cli.predict_words import with_pictures, without_pictures
from places.cli.stage_parser import PlacesParser, option_names, own_defaults, without_model
from places.cli.trainer_parts import (
    logger_mistake,
    run_callbacks,
    run_loggers,
    run_plugins,
    with_bar,
)
from places.cli.trainer_values import check_trainer_values
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
    as_packages,
    check_classes,
    check_stored,
    check_trusted,
    deny_standard_library,
    named_packages,
)
from places.config.written import written_flags, written_keys
from places.console import is_first_process, printable, say
from places.data import WebDataset
from places.data.image_files import ImageFiles
from places.data.places365 import Places365
from places.data.remote.urls import is_url
from places.data.streaming.plan import check_batch_size
from places.endings.family import mark_children, watch
from places.errors import CheckpointError, ConfigError, PlacesError, with_prefix
from places.lightning_internals import happened_in_restoring, is_trial, watch_processes
from places.models.weights import flags_of_official, words_for
from places.reports.page.command import report_at_end
from places.reports.prediction_state import PredictionState, predictions_of, unfinished_run
from places.reports.predictions import Predictions
from places.reports.profile import has_profiler, keep_profile, tell_of_profile
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
# Warnings that no user can do anything about.
_NOISE = (
    r".*isinstance\(treespec, LeafSpec\)",  # lightning 2.6.6 with torch 2.14
    r"The dirpath has changed from",  # every stage has a run folder of its own
    r"It is recommended to use .*sync_dist",  # scores come from sums that are reduced already
    r"You defined a `validation_step` but have no",  # ImageFiles says that it cannot fit
    r"torch\.distributed\.nn\.functional\.all_gather",  # lightning 2.6.6 with torch 2.14
    r"Experiment logs directory .* is not empty",  # W&B may write into it before the CSV logger
    r"Total length of `Loader` across ranks is zero",  # all that was asked for is there already
)


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
        self._first_defaults: dict[str, Any] = {}  # before flags chose other classes
        self._folder: Path | None = None
        self._made_by: PredictionState | None = None  # on the first process
        self._start = _Start("", None, None, {})
        self._stage_parsers: dict[str, LightningArgumentParser] = {}
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
        # The options of the model depend on its class, which the checkpoint may have to tell.
        self.config = self._parse(parser, without_model(words))
        stage = self.config.subcommand
        asked, root = self.config[stage].ckpt_path, self.config[stage].trainer.default_root_dir
        recipe = self._recipes[0].stem if self._recipes else ""
        check_trusted(self.config[stage].trust)
        timeout_s = self.config[stage].get("data.init_args.timeout_s")
        checkpoint = choose_checkpoint(asked, Path(root), recipe, timeout_s)
        defaults: dict[str, Any] = {}
        if stage != "fit" and (flags := self._flags_in(checkpoint, words)):
            words, checkpoint = [stage, *flags, *words[1:]], None
        if checkpoint is not None:
            stored_recipe, defaults = self._take_over(checkpoint, stage, words)
            recipe = recipe or stored_recipe
        self.config = self._parse(parser, words)
        if self._forget_other_classes(stage):
            self.config = self._parse(parser, words)
        check_callbacks(classes_of(self.config[stage].trainer.callbacks))
        text = self._stage_parsers[stage].dump(self.config[stage], skip_unset=False)
        resolved = yaml.safe_load(text)
        refuse_secrets(resolved, f"the config in {checkpoint}" if checkpoint else "the config")
        check_classes(resolved)
        self._refuse_empty(stage, resolved, words)
        changes = changed_settings(defaults, resolved)
        if stage == "fit":
            check_optimizer(changes)
        if changes:
            say("\n  ".join(["not as in the checkpoint:", *describe_changes(changes)]))
        url = without_credentials(asked) if asked and is_url(asked) else None
        ids = {}
        if checkpoint is not None and stage == "fit":
            ids = stored_ids(read_checkpoint(checkpoint)[CHECKPOINT_KEY])
        self._start = _Start(recipe, checkpoint, url, changes, ids)
        check_range("seed_everything", int(self.config[stage].seed_everything), 0, 2**32 - 1)
        # Lightning would build what the file names; it is told of it in the next hook.
        self.config[stage].ckpt_path = None

    def _flags_in(self, checkpoint: Path | None, words: Sequence[str]) -> list[str] | None:
        """Return the flags that stand for a file with a network that is no checkpoint of ours."""
        if checkpoint is None:
            return None
        trusted = {*self.config[words[0]].trust, *named_packages(words, self._recipes)}
        return flags_of_exported(checkpoint, trusted) or flags_of_official(checkpoint)

    def _take_over(
        self, checkpoint: Path, stage: str, words: Sequence[str]
    ) -> tuple[str, dict[str, Any]]:
        """Make the config in a checkpoint the defaults, and return its recipe and these.

        Raises:
            CheckpointError: Some of it is no setting any more, or not trusted.
        """
        try:
            content = read_checkpoint(checkpoint)
        except ForeignCheckpointError as error:
            with suppress(CheckpointError):
                if (network := words_for(checkpoint)) is not None:
                    hint = f"name it:  {network} --model.weights {checkpoint}"
                    error = ForeignCheckpointError(error.message, hint)
            raise error from None
        check_whole(checkpoint)
        check_parts(content, checkpoint)
        record, asked = content[CHECKPOINT_KEY], self.config[stage]
        if stage == "fit" and record["version"] < FORMAT_VERSION:
            say("an older version wrote this checkpoint: dropout draws other numbers from here")
        defaults = masked(defaults_from(record["config"], asked.data.class_path, stage))
        check_stored(defaults, {*asked.trust, *named_packages(words, self._recipes)}, checkpoint)
        data_class = record["config"]["data"]["class_path"]
        if stage == "fit" and data_class != asked.data.class_path:
            raise CheckpointError(
                f"the run of {checkpoint} reads its data by {printable(data_class)}, "
                f"this one would by {asked.data.class_path}",
                f"go on with it:   --data {quote(printable(data_class))}",
                f"or start anew from its weights:  --config RECIPE --model.weights {checkpoint}",
            )
        parser = self._stage_parsers[stage]
        known = Namespace()  # type: ignore[no-untyped-call]  # jsonargparse leaves it untyped
        for key, value in defaults.items():
            if key != "data" or asked.data.class_path == record["config"]["data"]["class_path"]:
                known[key] = value
        try:
            parser.parse_object(known)  # for defaults are not checked
            parser.set_defaults(defaults)
        except Refused as refused:
            raise CheckpointError(
                f"this version of places cannot use the config in {checkpoint}",
                refused.message.replace("{}", refused.name, 1),
                f"use it as weights:  --config RECIPE --model.weights {checkpoint}",
            ) from refused
        return record["recipe"], defaults

    def _forget_other_classes(self, stage: str) -> bool:
        """Make the classes that were chosen the defaults, without the arguments of those before.

        jsonargparse hands on what has the same name: AdamW would get the rate of SGD.
        """
        parser = self._stage_parsers[stage]
        known = parser.get_defaults(skip_validation=True)
        before = {key: known[key].as_dict() for key in ("model", "data")}
        self._first_defaults = self._first_defaults or before
        after = {key: own_defaults(before[key], self.config[stage][key]) for key in before}
        parser.set_defaults(after)
        return before != after

    def _parse(self, parser: LightningArgumentParser, words: list[str]) -> Namespace:
        try:
            config = parser.parse_args(words)
        except Refused as refused:
            parser = self._stage_parsers[words[0]]
            raise refused.explained(words, self._recipes, option_names(parser)) from refused
        # jsonargparse takes anything for a group.
        more = {"predict": ["predictions"], "test": ["test"]}.get(str(config.subcommand), [])
        for key in ("trainer", "checkpoint", "resume", *more):
            found = config[config.subcommand].get(key)
            if not isinstance(found, Namespace):
                raise ConfigError(f"{key} takes settings by their names, not {found!r:.60}")
        asked = config[config.subcommand]
        asked.trust = as_packages(asked.trust)  # null trusts nobody
        folder = asked.trainer.default_root_dir
        asked.trainer.default_root_dir = folder or str(RUNS)  # likewise
        return config

    def _refuse_empty(self, stage: str, resolved: dict[str, Any], words: list[str]) -> None:
        parser = self._stage_parsers[stage]
        assert isinstance(parser, PlacesParser)
        try:
            refuse_empty(resolved, parser.kinds)
        except Refused as refused:
            raise refused.explained(words, self._recipes, option_names(parser)) from refused

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
        _check_parts_are_on(config.trainer)
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
        resolved = yaml.safe_load(self._stage_parsers[stage].dump(config, skip_unset=False))
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
        stage, kept = str(self.subcommand), self.config
        parser = self._stage_parsers[stage]
        parser.set_defaults(self._first_defaults)
        words = [stage, *(word for path in self._recipes for word in ("--config", str(path)))]
        try:
            self.config = self._parse(self.parser, words)
            if self._forget_other_classes(stage):
                self.config = self._parse(self.parser, words)
            plain = self.config[stage]
        except (Refused, PlacesError):  # a recipe that needs the flags
            return None
        finally:
            self.config = kept
        configs = (yaml.safe_load(parser.dump(c, skip_unset=False)) for c in (plain, self._asked))
        return compare(*configs)


def _check_parts_are_on(trainer: Namespace) -> None:
    """Refuse switches that would take away what every run of `places` has.

    Raises:
        ConfigError: The message says what to type instead.
    """
    if trainer.barebones:
        raise ConfigError(
            "trainer.barebones is for measuring: it leaves no scores, logs and checkpoints",
            "what they cost:  places bench step",
        )
    if trainer.enable_checkpointing is False:
        raise ConfigError(
            "trainer.enable_checkpointing false would lose the weights at the end",
            "to keep only the last:  --checkpoint.save_top_k 0",
            "to try without files:   --trainer.fast_dev_run true",
        )


def run_stage(words: Sequence[str]) -> int:
    """Run one of the four stages, given the command line after `places`.

    Returns:
        The exit status: 1 if a picture could not be read by `predict`, else 0.
    """
    mark_children()
    watch_processes(watch)
    quieten()
    torch.set_float32_matmul_precision("high")
    try:
        words = without_signature(words)
        cli = PlacesCLI(with_pictures(words) if words[0] == "predict" else words)
        if has_profiler(cli.trainer):
            tell_of_profile(cli.trainer, words[0])
        if words[0] in WITH_PAGE:
            _make_page(cli)
        tables = (c for c in cli.trainer.callbacks if isinstance(c, Predictions))  # type: ignore[attr-defined]  # declared nowhere
        return int(any(table.num_unreadable for table in tables))
    except Exception as error:
        mistake = mistake_behind(error) or error
        if isinstance(mistake, PlacesError):
            kinds = (Places365, ImageFiles, WebDataset)
            names = {name for kind in kinds for name in signature(kind).parameters}
            mistake = with_prefix(without_pictures(words, mistake), "--data.", names)
            raise with_place(mistake, words, find_recipes(words)[0]) from error
        raise


def _make_page(cli: PlacesCLI) -> None:
    """Make the page of a run, which has ended, on the first process."""
    has_folder = not is_trial(cli.trainer) and cli.trainer.is_global_zero
    if has_folder and cli.config[str(cli.subcommand)].report:
        # `log_dir` would wait for the other processes.
        report_at_end(Path(cli.trainer.default_root_dir))


def quieten() -> None:
    """Keep Lightning from saying what no user of a stage needs."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # That it makes an experiment which is not there yet is no warning.
    logging.getLogger("lightning.pytorch.loggers.mlflow").setLevel(logging.ERROR)
    # Their reports come this way.
    logging.getLogger("lightning.pytorch.profilers").setLevel(logging.INFO)
    for message in _NOISE:
        warnings.filterwarnings("ignore", message)
    if not is_first_process():  # what all processes are warned of is shown once
        warnings.simplefilter("ignore")
