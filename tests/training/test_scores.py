import multiprocessing
import pickle
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from torchmetrics import MetricCollection
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_calibration_error,
    multiclass_confusion_matrix,
)

from places.training.scores import NUM_BINS, EvaluationSums, TrainingSums

NUM_CLASSES = 12
UNIT = 2.0**-30


def _example(num: int = 300, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, NUM_CLASSES, (num,), generator=generator)
    logits = torch.randn(num, NUM_CLASSES, generator=generator)
    logits[torch.arange(num), labels] += 1.5
    return logits, labels


def test_scores_equal_torchmetrics() -> None:
    logits, labels = _example()
    sums = EvaluationSums(NUM_CLASSES)
    for part in range(0, 300, 77):
        rows = slice(part, part + 77)
        sums.update(logits[rows], labels[rows], torch.ones(len(labels[rows])))
    scores = sums.compute()
    top1 = multiclass_accuracy(logits, labels, NUM_CLASSES, average="micro")
    top5 = multiclass_accuracy(logits, labels, NUM_CLASSES, average="micro", top_k=5)
    macro = multiclass_accuracy(logits, labels, NUM_CLASSES, average="macro")
    error = multiclass_calibration_error(logits.softmax(1), labels, NUM_CLASSES, n_bins=15)
    assert scores["top1"] == pytest.approx(float(top1))
    assert scores["top5"] == pytest.approx(float(top5))
    assert scores["mean_class_accuracy"] == pytest.approx(float(macro))
    assert scores["calibration_error"] == pytest.approx(float(error), abs=1e-5)
    assert scores["loss"] == pytest.approx(
        float(torch.nn.functional.cross_entropy(logits, labels)), abs=1e-5
    )
    expected = multiclass_confusion_matrix(logits.argmax(1), labels, NUM_CLASSES)
    assert np.array_equal(sums.confusion, expected.numpy())
    assert sums.count == 300


def test_what_the_report_shows_equals_what_numpy_counts() -> None:
    logits, labels = _example(seed=5)
    sums = EvaluationSums(NUM_CLASSES)
    sums.update(logits, labels)
    order = np.argsort(-logits.numpy(), axis=1)[:, :5]
    hits = order == labels.numpy()[:, None]
    assert sums.rank_hits.tolist() == hits.sum(axis=0).tolist()
    of_class = [int(hits[labels == label].sum()) for label in range(NUM_CLASSES)]
    assert sums.class_top5_hits.tolist() == of_class
    confidence = logits.softmax(1).amax(1).numpy().astype(np.float64)
    bins = np.clip(np.ceil(confidence * NUM_BINS), 1, NUM_BINS).astype(int) - 1
    expected = np.zeros((NUM_BINS, 3))
    np.add.at(expected, bins, np.stack([confidence, hits[:, 0], np.ones(300)], axis=1))
    assert sums.reliability == pytest.approx(expected, abs=1e-6)


def test_sums_do_not_depend_on_batches_or_their_order() -> None:
    logits, labels = _example(seed=1)
    whole, parts = EvaluationSums(NUM_CLASSES), EvaluationSums(NUM_CLASSES)
    whole.update(logits, labels, torch.ones(300))
    for rows in torch.split(torch.randperm(300, generator=torch.Generator().manual_seed(2)), 7):
        parts.update(logits[rows], labels[rows], torch.ones(len(rows)))
    assert torch.equal(whole.sums, parts.sums)


def test_rows_of_weight_zero_do_not_count() -> None:
    logits, labels = _example()
    weight = (torch.arange(300) < 100).float()
    padded, short = EvaluationSums(NUM_CLASSES), EvaluationSums(NUM_CLASSES)
    padded.update(logits, torch.where(weight > 0, labels, -1), weight)
    short.update(logits[:100], labels[:100], torch.ones(100))
    assert torch.equal(padded.sums, short.sums)


def test_a_loss_that_is_not_finite_shows_in_the_score() -> None:
    logits, labels = _example()
    logits[5] = float("nan")
    sums = EvaluationSums(NUM_CLASSES)
    sums.update(logits, labels, torch.ones(300))
    assert np.isnan(sums.compute()["loss"])
    assert sums.count == 300


@pytest.mark.filterwarnings("ignore:The ``compute`` method of metric EvaluationSums was called bef")
def test_nothing_scored_is_no_division_by_zero() -> None:
    assert EvaluationSums(3).compute()["top1"] == 0


def _exact_scores(logits: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
    """Return the scores, picture by picture, in Python's integers: what no version may change."""
    num_hits, num_top5, loss = 0, 0, 0
    bins = [[0, 0] for _ in range(NUM_BINS)]  # sum of the confidences in units, hits
    classes: dict[int, list[int]] = {}  # hits and number of pictures of the classes that occur
    for row, label in zip(logits, labels.tolist(), strict=True):
        best = row.topk(5).indices.tolist()
        num_hits += best[0] == label
        num_top5 += label in best
        confidence = row.softmax(dim=0).max()
        number = max(1, min(NUM_BINS, int((confidence * NUM_BINS).ceil()))) - 1
        bins[number][0] += round(float(confidence) / UNIT)
        bins[number][1] += best[0] == label
        loss += round(float(torch.nn.functional.cross_entropy(row, torch.tensor(label))) / UNIT)
        counts = classes.setdefault(label, [0, 0])
        counts[0] += best[0] == label
        counts[1] += 1
    accuracies = [hits / num for _, (hits, num) in sorted(classes.items())]
    gaps = [abs(confidence * UNIT - hits) for confidence, hits in bins]
    return {
        "top1": num_hits / len(labels),
        "top5": num_top5 / len(labels),
        "mean_class_accuracy": float(np.mean(accuracies)),
        "loss": loss * UNIT / len(labels),
        "calibration_error": float(np.sum(gaps)) / len(labels),
    }


def test_scores_are_those_of_integer_sums_to_the_last_bit() -> None:
    logits, labels = _example(seed=3)
    metric = EvaluationSums(NUM_CLASSES)
    for row, label in zip(logits, labels, strict=True):  # as the reference does, one by one
        metric.update(row[None], label[None])
    assert metric.compute() == _exact_scores(logits, labels)


def _updated(rows: slice = slice(None), **options: object) -> EvaluationSums:
    logits, labels = _example(seed=4)
    metric = EvaluationSums(NUM_CLASSES, **options)
    metric.update(logits[rows], labels[rows])
    return metric


def test_copies_compute_the_same_and_are_independent() -> None:
    metric = _updated()
    scores = metric.compute()
    for copy in (metric.clone(), pickle.loads(pickle.dumps(metric))):
        assert isinstance(copy, EvaluationSums)
        assert torch.equal(copy.sums, metric.sums)
        copy.update(*_example(seed=5))
        assert copy.compute() != scores
    assert metric.compute() == scores
    assert metric.count == 300


def test_a_reset_metric_is_as_new() -> None:
    metric = _updated()
    metric.compute()
    metric.reset()
    assert metric.count == 0
    assert metric.update_count == 0
    metric.update(*_example(seed=4))
    assert metric.compute() == _updated().compute()


def test_merging_and_forward_add_up_to_the_whole() -> None:
    first = _updated(slice(0, 100))
    first.merge_state(_updated(slice(100, 300)))
    assert torch.equal(first.sums, _updated().sums)
    logits, labels = _example(seed=4)
    metric = EvaluationSums(NUM_CLASSES)
    assert metric(logits[:100], labels[:100]) == _updated(slice(0, 100)).compute()
    metric(logits[100:], labels[100:])
    assert metric.compute() == _updated().compute()


def test_it_works_in_a_collection() -> None:
    collection = MetricCollection([EvaluationSums(NUM_CLASSES)])
    collection.update(*_example(seed=4))
    assert collection.compute() == _updated().compute()


@pytest.mark.parametrize("change", ["half", "double", "bfloat16", "to float64", "to meta"])
def test_the_sums_stay_integers_and_out_of_checkpoints(change: str) -> None:
    metric, module = _updated(), torch.nn.Module()
    module.metric = metric
    assert module.state_dict() == {}
    assert list(module.buffers()) == []
    if change.startswith("to "):
        module.to(getattr(torch, change.removeprefix("to ")) if "float" in change else "meta")
    else:
        getattr(module, change)()
    assert metric.sums.dtype == torch.int64
    assert metric.sums.device.type == ("meta" if change == "to meta" else "cpu")
    metric.reset()
    assert metric.sums.dtype == torch.int64


def test_one_reduction_makes_the_sums_of_all_processes_and_the_own_sums_stay() -> None:
    gathered: list[torch.Tensor] = []
    other = _updated(slice(100, 300))

    def gather(sums: torch.Tensor, group: object) -> list[torch.Tensor]:
        gathered.append(sums)
        return [sums, other.sums]

    metric = _updated(slice(0, 100), dist_sync_fn=gather, distributed_available_fn=lambda: True)
    assert metric.compute() == _updated().compute()
    assert [sums.shape for sums in gathered] == [metric.sums.shape]
    assert metric.count == 100
    alone = _updated(
        dist_sync_fn=gather, distributed_available_fn=lambda: True, sync_on_compute=False
    )
    alone.compute()
    assert len(gathered) == 1


def _score_a_share(folder: Path, rank: int) -> None:
    torch.distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder / 'store'}",
        rank=rank,
        world_size=2,
        timeout=timedelta(seconds=60),
    )
    scores = _updated(slice(rank, None, 2)).compute()
    torch.distributed.destroy_process_group()
    (folder / f"{rank}.pickle").write_bytes(pickle.dumps(scores))


@pytest.mark.slow
def test_two_processes_compute_the_scores_of_one(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_score_a_share, args=(tmp_path, r)) for r in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    for rank in range(2):
        assert pickle.loads((tmp_path / f"{rank}.pickle").read_bytes()) == _updated().compute()


def _trained(batches: list[tuple[float, float, float]]) -> TrainingSums:
    sums = TrainingSums()
    for batch in batches:
        sums.add(*map(torch.tensor, batch))
    return sums


def test_training_sums_are_means_over_pictures_and_start_anew() -> None:
    sums = _trained([(2.0, 1.0, 4.0), (1.0, 3.0, 12.0)])
    assert sums.take_means(lambda own, reduce_op: own) == {"loss": 20 / 16, "top1": 4 / 16}
    assert sums.take_means(lambda own, reduce_op: own) == {"loss": 0, "top1": 0}
    sums.add(*map(torch.tensor, (0.5, 2.0, 2.0)))
    assert sums.take_means(lambda own, reduce_op: 3 * own) == {"loss": 0.5, "top1": 1}


@pytest.mark.parametrize("num_ranks", [1, 2, 3])
def test_saved_training_sums_are_those_of_any_number_of_processes(num_ranks: int) -> None:
    saved = [_trained([(0.3, 1.0, 4.0)]).sums, _trained([(0.7, 2.0, 5.0)]).sums]
    restored = [TrainingSums() for _ in range(num_ranks)]
    for rank, sums in enumerate(restored):
        sums.restore(torch.stack(saved), rank, num_ranks)
    together = torch.stack([sums.sums for sums in restored])
    assert torch.equal(together.sum(dim=0), torch.stack(saved).sum(dim=0))
    if num_ranks == 2:
        assert torch.equal(together, torch.stack(saved))
