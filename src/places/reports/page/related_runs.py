"""Runs that belong together: the training behind a test, and that which a training goes on."""

from dataclasses import replace
from pathlib import Path

from places.checkpoints.runs import BEST_CHECKPOINT
from places.config.secrets import masked
from places.console import printable
from places.errors import PlacesError
from places.files import is_plain_name
from places.reports.metric_curves import Curves
from places.reports.run_facts import RunFacts, read_run

_MAX_RUNS = 50  # that went on from each other


def training_of(facts: RunFacts) -> RunFacts | None:
    """Return the training behind a test, if its folder is beside that of the test and unchanged."""
    result = facts.result or {}
    weights, record = result.get("checkpoint"), result.get("training")
    if not isinstance(weights, dict) or not isinstance(record, dict):
        return None
    training = _run_beside(facts, weights.get("path"))
    is_it = training is not None and training.config == masked(record.get("config"))
    return training if is_it else None


def origin_of(facts: RunFacts) -> str:
    """Return the checkpoint from which a training went on; an empty string if it began anew."""
    path = (facts.config or {}).get("ckpt_path")
    return printable(path) if isinstance(path, str) else ""


def with_earlier(training: RunFacts) -> RunFacts:
    """Return a training with the curves before it, if it went on from runs beside its own."""
    curves, seen, latest = dict(training.curves), {training.folder.absolute()}, training
    for _ in range(_MAX_RUNS):
        before = _run_beside(latest, (latest.config or {}).get("ckpt_path"))
        if before is None or before.folder.absolute() in seen:
            break
        seen.add(before.folder.absolute())
        curves, latest = _joined(before.curves, curves), before
    return replace(training, curves=curves)


def _joined(before: Curves, after: Curves) -> Curves:
    """Return curves in two parts as one: the run that went on tells what came after its start."""
    start = min((curve[0][0] for curve in after.values()), default=2**60)
    names = dict.fromkeys([*before, *after])
    return {
        name: [*(pair for pair in before.get(name, ()) if pair[0] < start), *after.get(name, ())]
        for name in names
    }


def _run_beside(facts: RunFacts, checkpoint: object) -> RunFacts | None:
    """Return the run that wrote a checkpoint, if it lies in the same folder of runs.

    Of its path only two names are believed: what others wrote leads nowhere else.
    """
    if not isinstance(checkpoint, str):
        return None
    names = Path(checkpoint).parts[-4:-2]
    if len(names) < 2 or not all(map(is_plain_name, names)):
        return None
    folder = facts.folder.absolute().parents[1].joinpath(*names)
    try:
        return read_run(folder) if (folder / BEST_CHECKPOINT.parent).is_dir() else None
    except (PlacesError, OSError):
        return None
