"""`validation.json`: the scores of the last validation of a run, in the form of a result."""

import json

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer

from places.categories import load_categories, load_settings
from places.classifier import SceneClassifier
from places.console import say
from places.data.places365 import Places365
from places.errors import StorageError
from places.files import write_text
from places.lightning_internals import data_module, is_trial
from places.processes import run_folder
from places.reports.complete_scores import is_complete
from places.reports.result_file import scores_of
from places.reports.result_schema import in_json

FORMAT, VERSION = "places.validation", 1
FILE_NAME = "validation.json"


class Validations(Callback):
    """Keeps the scores of the last validation that scored the whole split, for the page of a run.

    Beside the parts of a `result.json` they have "confusion": [true, guessed, pictures] for each
    pair of labels that occurred.
    """

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the file, on the first process. That it cannot be written ends no run."""
        data, folder = data_module(trainer), run_folder(trainer)
        if trainer.sanity_checking or is_trial(trainer):
            return
        if not isinstance(data, Places365) or not isinstance(pl_module, SceneClassifier):
            return
        if not trainer.is_global_zero or not is_complete(trainer, pl_module, "val"):
            return
        if not folder.is_dir():  # made when the run began; others say that it is gone
            return
        manifest, confusion = data.manifests["val"], pl_module.evaluation.confusion
        true, guessed = np.nonzero(confusion)
        content = {
            "format": FORMAT,
            "version": VERSION,
            "epoch": trainer.current_epoch,
            "step": trainer.global_step,
            **scores_of(pl_module.evaluation, load_categories(), load_settings()),
            "num_images": pl_module.evaluation.count,
            "data": {
                "split": "val",
                "synthetic": manifest.synthetic,
                "num_images": manifest.num_samples,
                "manifest_digest": manifest.digest,
            },
            "confusion": np.stack([true, guessed, confusion[true, guessed]], axis=1).tolist(),
        }
        try:
            write_text(folder / FILE_NAME, f"{json.dumps(in_json(content), allow_nan=False)}\n")
        except StorageError as error:
            say(f"{FILE_NAME} is not written: {error.message}")
