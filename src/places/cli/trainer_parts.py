"""What the trainer of every run gets: callbacks, loggers that write into its folder, plugins."""

from collections.abc import Sequence

from jsonargparse import Namespace
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.plugins.io import CheckpointIO

from places.checkpoints.atomic_io import AtomicCheckpointIO
from places.cli.library_errors import first_line
from places.cli.logger_parts import LoggedRun, fill_in
from places.cli.part_classes import classes_of
from places.errors import ConfigError
from places.reports.complete_scores import CompleteScores
from places.reports.finite_scores import FiniteScores
from places.reports.plots import Plots
from places.reports.progress_bar import Bar
from places.reports.rates import Rates
from places.reports.results import Results
from places.reports.run_log import RunLog
from places.reports.skipped_samples import SkippedSamples
from places.reports.submission import Submission
from places.reports.tracking.callback import Tracking
from places.reports.validations import Validations
from places.resume.best import KeepBest
from places.resume.divergence import Divergence
from places.resume.early_stops import EarlyStops
from places.resume.known_metrics import KnownMetrics
from places.resume.monitors import FirstLook
from places.resume.optimizer_settings import OptimizerSettings
from places.resume.step_seeds import StepSeeds


def run_callbacks() -> list[Callback]:
    """Return the callbacks of every run that have no settings."""
    checks = [Divergence(), FiniteScores(), CompleteScores(), SkippedSamples()]
    files = [
        Rates(),
        Plots(),
        Results(),
        Submission(),
        Validations(),
        RunLog(),
        Tracking(),
    ]
    resume = [StepSeeds(), OptimizerSettings(), KeepBest(), KnownMetrics()]
    resume += [FirstLook(), EarlyStops()]
    return [*resume, *checks, *files]


def with_bar(asked: Namespace) -> list[Callback]:
    """Return the callbacks that were asked for, with our progress bar unless it is not wanted.

    Args:
        asked: `trainer` as it was asked for, its callbacks built.
    """
    callbacks = asked.callbacks or []
    callbacks = list(callbacks) if isinstance(callbacks, Sequence) else [callbacks]
    has_bar = any(isinstance(callback, ProgressBar) for callback in callbacks)
    if has_bar or asked.enable_progress_bar is False or asked.barebones:
        return callbacks
    return [*callbacks, Bar()]


def logger_mistake(loggers: object) -> ConfigError | None:
    """Return what is wrong with a logger, if that is why the trainer could not be built.

    jsonargparse only says that the logger is none.

    Args:
        loggers: What `run_loggers` returned.
    """
    for logger in loggers if isinstance(loggers, list) else []:
        for kind in classes_of(logger):
            try:
                kind(**(logger.get("init_args") or {}), **(logger.get("dict_kwargs") or {}))
            except ImportError as error:
                what = f"{kind.__name__} needs a package that is not installed"
                return ConfigError(what, first_line(error))
            except Exception as error:  # of any logger
                return ConfigError(f"{kind.__name__} cannot be built", first_line(error))
    return None


def run_loggers(asked: object, run: LoggedRun) -> list[Namespace] | bool:
    """Return the loggers of a run as configs: the table of metrics, and those asked for.

    Args:
        asked: `trainer.logger` as it was asked for: a config, several, a switch or nothing.
        run: The run.
    """
    if asked is False:
        return False
    others = asked if isinstance(asked, list) else [asked] if isinstance(asked, Namespace) else []
    for other in others:
        fill_in(other, run)
    csv_logger = Namespace(  # type: ignore[no-untyped-call]  # jsonargparse leaves it untyped
        class_path="lightning.pytorch.loggers.CSVLogger",
        init_args={"save_dir": str(run.folder), "name": "", "version": ""},
    )
    # First, since Lightning calls the first logger's folder the folder of the run.
    return [csv_logger, *others]


def run_plugins(asked: object) -> list[object]:
    """Return the plugins of a run: those asked for, and ours where nothing else was asked for.

    Checkpoints are written whole. On SLURM Lightning neither saves and requeues from inside a
    signal handler nor resumes from a `hpc_ckpt` file that it finds.
    """
    plugins = list(asked) if isinstance(asked, Sequence) else [] if asked is None else [asked]
    if not any(isinstance(plugin, CheckpointIO) for plugin in plugins):
        plugins.append(AtomicCheckpointIO())
    is_free = not any(isinstance(plugin, ClusterEnvironment) for plugin in plugins)
    if is_free and SLURMEnvironment.detect() and not TorchElasticEnvironment.detect():
        plugins.append(SLURMEnvironment(auto_requeue=False))
    return plugins
