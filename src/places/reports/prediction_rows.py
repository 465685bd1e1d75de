"""From a batch and the answers of the network to rows."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from places.data.shards.index import NO_LABEL
from places.reports.prediction_row import PredictionRow

Thumbnail = Callable[[npt.NDArray[np.uint8]], bytes]
NOT_FINITE = "the outputs of the network are NaN or infinite"


def rows_of(
    batch: Mapping[str, Any], outputs: Mapping[str, Any], thumbnail: Thumbnail | None = None
) -> list[PredictionRow]:
    """Return the rows of a batch, without those that only fill it up.

    Args:
        batch: See `places.data.streaming.stream.Batch`.
        outputs: What `SceneClassifier.predict_step` returned.
        thumbnail: Makes a small JPEG of what the network saw, `(size, size, 3)` uint8.
    """
    columns = {name: value.tolist() for name, value in outputs.items() if name in _PLAIN}
    sizes = batch["size"].tolist() if "size" in batch else [[0, 0]] * len(batch["key"])
    true_labels = batch["label"].tolist() if "label" in batch else [NO_LABEL] * len(batch["key"])
    features, activations = _array(outputs.get("features")), _array(outputs.get("activation"))
    rows = []
    for number, key in enumerate(batch["key"]):
        if not key:
            continue
        width, height = sizes[number]
        known: dict[str, Any] = {"width": width or None, "height": height or None}
        known["label"] = None if true_labels[number] == NO_LABEL else true_labels[number]
        reason = batch["error"][number] or ("" if columns["finite"][number] else NOT_FINITE)
        if reason:
            rows.append(PredictionRow(key, error=reason, **known))
            continue
        answer: dict[str, Any] = {
            "labels": tuple(columns["label"][number]),
            "probabilities": tuple(columns["probability"][number]),
            "indoor": columns["indoor"][number] if "indoor" in columns else None,
        }
        if features is not None:
            answer["features"] = features[number]
        if activations is not None:
            answer["activation"] = np.round(255 * activations[number]).astype(np.uint8)
        if thumbnail is not None:
            pixels = batch["image"][number].permute(1, 2, 0).cpu().numpy()
            answer["thumbnail"] = thumbnail(pixels)
        rows.append(PredictionRow(key, **answer, **known))
    return rows


_PLAIN = ("label", "probability", "finite", "indoor")


def _array(values: Any) -> npt.NDArray[np.float32] | None:  # noqa: ANN401  # a tensor or nothing
    return None if values is None else values.float().cpu().numpy()
