import copy
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from tests.networks import Tiny
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD

from places.categories import load_settings
from places.classifier import SceneClassifier
from places.data.loader import Loader
from places.data.streaming.stream import Batch as StreamedBatch
from places.errors import CheckpointError, ConfigError
from places.training.augment import Augment

NUM_CLASSES = 6
Batch = dict[str, Any]


def _batch(num: int, seed: int, size: int = 12) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    return {
        "image": torch.randint(0, 256, (num, 3, size, size), generator=generator).to(torch.uint8),
        "label": torch.randint(0, NUM_CLASSES, (num,), generator=generator),
        "weight": torch.ones(num),
        "flip": torch.arange(num) % 2 == 0,
        "key": [""] * num,
        "error": [""] * num,
    }


def _rows(batch: Batch, rows: slice) -> Batch:
    return {name: value[rows] for name, value in batch.items()}


def _loader(batches: Sequence[Batch]) -> Loader:
    return Loader(len(batches), lambda: iter(cast(Sequence[StreamedBatch], batches)))


class Plain(nn.Sequential):
    """A network without batch norm: what it learns from a picture does not depend on others."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(
            nn.Conv2d(3, 6, 3, stride=2),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(24, num_classes),
        )


class Batches(LightningDataModule):
    """Batches from memory, the same in every epoch."""

    def __init__(self, train: Sequence[Batch], val: Sequence[Batch] = ()) -> None:
        super().__init__()
        self.train, self.val = train, val

    def train_dataloader(self) -> Loader:
        return _loader(self.train)

    def val_dataloader(self) -> Loader:
        return _loader(self.val)

    test_dataloader = predict_dataloader = val_dataloader


class Watch(Callback):
    """Keeps the weights and the metrics after each optimizer step."""

    def __init__(self) -> None:
        self.weights: list[dict[str, Tensor]] = []
        self.rates: list[float] = []
        self.logged: list[dict[str, float]] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *rest: object, **named: object
    ) -> None:
        if trainer.global_step > len(self.weights):
            self.weights.append(copy.deepcopy(pl_module.state_dict()))
            self.logged.append({k: float(v) for k, v in trainer.logged_metrics.items()})
            self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])


def _model(net: type[nn.Module] = Plain, lr: float = 0.1, **options: Any) -> SceneClassifier:  # noqa: ANN401  # whatever it takes
    torch.manual_seed(0)
    settings: dict[str, Any] = {"schedule": "constant", "num_classes": NUM_CLASSES} | options
    return SceneClassifier(net, lambda parameters: SGD(parameters, lr=lr), **settings)


def _trainer(**options: Any) -> Trainer:  # noqa: ANN401  # whatever it takes
    settings: dict[str, Any] = {
        "accelerator": "cpu",
        "max_epochs": 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "log_every_n_steps": 1,
        "deterministic": True,
    }
    return Trainer(**settings | options)


def _fit(model: SceneClassifier, data: Batches, **options: Any) -> Watch:  # noqa: ANN401  # of the trainer
    watch = Watch()
    limit = 1.0 if data.val else 0
    _trainer(callbacks=[watch], limit_val_batches=limit, **options).fit(model, datamodule=data)
    return watch


def _normalised(images: Tensor) -> Tensor:
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    return (images / 255 - mean) / std


def _logits_by_hand(net: nn.Module, batch: Batch, flip: bool = False) -> Tensor:
    images = batch["image"].clone()
    if flip:
        images[batch["flip"]] = images[batch["flip"]].flip(3)
    return net(_normalised(images))  # type: ignore[no-any-return]  # a network returns logits


def test_two_small_batches_accumulate_to_a_large_one() -> None:
    large = [_batch(16, seed) for seed in range(4)]
    small = [_rows(batch, rows) for batch in large for rows in (slice(0, 8), slice(8, 16))]
    one = _fit(_model(), Batches(large))
    two = _fit(_model(), Batches(small), accumulate_grad_batches=2)
    assert len(one.weights) == len(two.weights) == 4
    for name, value in one.weights[-1].items():
        torch.testing.assert_close(two.weights[-1][name], value, rtol=1e-4, atol=1e-6)
    for left, right in zip(one.logged, two.logged, strict=True):
        assert right == pytest.approx(left, rel=1e-4)


def test_the_logged_loss_is_that_of_all_pictures_since_the_last_time() -> None:
    batches = [_batch(4, seed) for seed in range(8)]
    model = _model(lr=0)
    with torch.no_grad():
        losses, hits = [], []
        for batch in batches:
            logits = _logits_by_hand(model.net, batch, flip=True)
            losses.append(float(F.cross_entropy(logits, batch["label"])))
            hits.append(float((logits.argmax(1) == batch["label"]).float().mean()))
    watch = _fit(model, Batches(batches), accumulate_grad_batches=2, log_every_n_steps=2)
    assert "train/loss" not in watch.logged[0]
    for step, first in ((1, 0), (3, 4)):
        expected = np.mean(losses[first : first + 4]), np.mean(hits[first : first + 4])
        logged = watch.logged[step]["train/loss"], watch.logged[step]["train/top1"]
        assert logged == pytest.approx(expected, rel=1e-5)


def test_nothing_is_logged_where_no_log_is_wanted() -> None:
    watch = _fit(_model(), Batches([_batch(4, 0)]), log_every_n_steps=0)
    assert watch.logged == [{}]


def test_the_schedule_counts_optimizer_steps() -> None:
    data = Batches([_batch(2, seed) for seed in range(5)])
    model = _model(schedule="cosine", warmup_epochs=1)
    watch = _fit(model, data, accumulate_grad_batches=2, max_epochs=3)
    # 3 steps per epoch, the last of one batch only; then half a cosine over the other two epochs.
    warm = [0.1 * 2 / 4, 0.1 * 3 / 4]
    cosine = [0.05 * (1 + np.cos(np.pi * step / 6)) for step in range(7)]
    assert watch.rates == pytest.approx([*warm, *cosine])


@pytest.mark.parametrize("algorithm", ["norm", "value"])
def test_gradients_are_clipped(algorithm: str) -> None:
    model = _model(lr=1.0, average_decay=0.9)
    before = copy.deepcopy(model.net.state_dict())
    clip: dict[str, Any] = {"gradient_clip_val": 0.01, "gradient_clip_algorithm": algorithm}
    watch = _fit(model, Batches([_batch(8, 0)]), **clip)
    moved = torch.cat([(watch.weights[0][f"net.{n}"] - v).flatten() for n, v in before.items()])
    size = moved.norm() if algorithm == "norm" else moved.abs().max()
    assert float(size) == pytest.approx(0.01, rel=1e-2)


def test_pictures_of_weight_zero_change_nothing() -> None:
    batch = _batch(8, 0)
    batch["weight"][2::3] = 0
    batch["label"][2] = -1
    batch["image"][2] = 0
    kept = batch["weight"] > 0
    short = {
        name: value[kept] if isinstance(value, Tensor) else value for name, value in batch.items()
    }
    one = _fit(_model(label_smoothing=0.1), Batches([batch]))
    two = _fit(_model(label_smoothing=0.1), Batches([short]))
    for name, value in one.weights[0].items():
        torch.testing.assert_close(two.weights[0][name], value)
    assert one.logged[0] == pytest.approx(two.logged[0])


@pytest.mark.parametrize("augment", [Augment(), Augment(mixup=1.0, cutmix=1.0, erase=0.5)])
def test_a_batch_without_a_readable_picture_is_no_accident(augment: Augment) -> None:
    model = _model(Tiny, augment=augment)
    batch = _batch(8, 0)
    batch["weight"].zero_()
    before = copy.deepcopy(model.net.state_dict())
    watch = _fit(model, Batches([batch]))
    assert watch.logged[0] == {"train/loss": 0, "train/top1": 0}
    for name in ("8.weight", "8.bias"):
        assert torch.equal(watch.weights[0][f"net.{name}"], before[name])
    assert all(bool(value.isfinite().all()) for value in watch.weights[0].values())


def test_unreadable_pictures_are_mixed_into_no_other() -> None:
    batch = _batch(8, 0)
    batch["weight"][3] = 0
    garbled = batch | {"image": batch["image"].clone(), "label": batch["label"].clone()}
    garbled["image"][3], garbled["label"][3] = 255, -1
    augment = Augment(mixup=1.0, cutmix=1.0)
    for num_batches in range(6):
        losses = []
        for each in (batch, garbled):
            model = _model(augment=augment)
            model._num_train_batches = num_batches
            losses.append(float(model.training_step(each, 0).detach()))
        assert losses[0] == losses[1]


@pytest.mark.parametrize("net", [Plain, Tiny])
def test_the_step_never_waits_for_the_device(net: type[nn.Module]) -> None:
    # A tensor on the meta device has no values: whoever asks for one fails.
    augment = Augment(trivial=True, erase=0.5, mixup=0.5, cutmix=0.5)
    model = _model(net, augment=augment, label_smoothing=0.1).to("meta")
    batch = {
        name: value.to("meta") if isinstance(value, Tensor) else value
        for name, value in _batch(32, 0).items()
    }
    for index in range(4):
        loss = model.training_step(batch, index)
        torch.autograd.backward(loss)
    with pytest.raises(RuntimeError, match="item"):
        loss.item()


def test_the_average_follows_the_steps_and_both_are_validated() -> None:
    model = _model(Tiny, lr=0.3, average_decay=0.3)
    val = [_batch(5, 100), _batch(5, 101)]
    val[1]["weight"][3:] = 0
    data = Batches([_batch(8, seed) for seed in range(10)], val)
    trainer = _trainer(callbacks=[watch := Watch()], accumulate_grad_batches=2)
    trainer.fit(model, datamodule=data)
    averages: dict[str, Any] = {}
    for step, weights in enumerate(watch.weights):
        decay = min(0.3, step / (step + 9))
        for name, value in weights.items():
            if name.startswith("net.") and value.is_floating_point():
                new, name = value.double(), name.replace("net.", "average.")
                averages[name] = decay * averages[name] + (1 - decay) * new if step else new
                torch.testing.assert_close(
                    weights[name].double(), averages[name], rtol=1e-4, atol=1e-6
                )
    for prefix, stage in (("net.", "val"), ("average.", "val_ema")):
        net = Tiny(NUM_CLASSES)
        weights = {
            name.removeprefix(prefix): value
            for name, value in watch.weights[-1].items()
            if name.startswith(prefix)
        }
        net.load_state_dict(weights)
        net.eval()
        with torch.no_grad():
            logits = torch.cat([_logits_by_hand(net, batch) for batch in val])[:8]
        labels = torch.cat([batch["label"] for batch in val])[:8]
        loss = float(F.cross_entropy(logits, labels))
        assert float(trainer.callback_metrics[f"{stage}/loss"]) == pytest.approx(loss, abs=1e-5)
        top1 = float((logits.argmax(1) == labels).float().mean())
        assert float(trainer.callback_metrics[f"{stage}/top1"]) == pytest.approx(top1)


def test_before_the_first_step_the_average_is_the_network() -> None:
    model = _model(Tiny, average_decay=0.99)
    trainer = _trainer()
    (scores,) = trainer.validate(model, datamodule=Batches([], [_batch(8, 0)]), verbose=False)
    for name in ("top1", "top5", "loss"):
        assert scores[f"val/{name}"] == scores[f"val_ema/{name}"]


def test_without_an_average_only_the_network_is_scored() -> None:
    trainer = _trainer()
    (scores,) = trainer.validate(_model(), datamodule=Batches([], [_batch(8, 0)]), verbose=False)
    assert not any(name.startswith("val_ema") for name in scores)


def test_test_and_predict_use_the_average_when_asked_to() -> None:
    model = _model(average_decay=0.9)
    assert model.average is not None
    with torch.no_grad():
        for parameter in model.average.parameters():
            parameter.add_(torch.randn_like(parameter))
    batch = _batch(16, 0)
    for use_average, net in ((False, model.net), (True, model.average)):
        model.use_average = use_average
        with torch.no_grad():
            logits = _logits_by_hand(net, batch)
        (scores,) = _trainer().test(model, datamodule=Batches([], [batch]), verbose=False)
        loss = float(F.cross_entropy(logits, batch["label"]))
        assert scores["test/loss"] == pytest.approx(loss, abs=1e-5)
        guesses = _trainer().predict(model, datamodule=Batches([], [batch]))
        assert guesses is not None
        assert torch.equal(guesses[0]["label"], logits.topk(5).indices)  # type: ignore[call-overload]  # one loader


class Watching(nn.Sequential):
    """A network with batch norm and pooled maps, here for every step; 365 classes by default."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(
            nn.Conv2d(3, 6, 3, stride=2),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(6, num_classes),
        )
        nn.init.uniform_(self[1].running_mean, -1, 1)  # type: ignore[arg-type]  # it has one
        nn.init.uniform_(self[1].running_var, 0.5, 2)  # type: ignore[arg-type]  # it has one


@pytest.mark.parametrize("use_average", [False, True])
def test_predict_returns_what_is_wanted(use_average: bool) -> None:
    model = _model(Watching, num_classes=365, average_decay=0.9, use_average=use_average)
    assert model.average is not None
    with torch.no_grad():
        for parameter in model.average.parameters():
            parameter.add_(torch.randn_like(parameter))
    net = copy.deepcopy(model.average if use_average else model.net).eval()
    assert isinstance(net, nn.Sequential)
    batches = [_batch(8, 0), _batch(5, 1)]
    before = copy.deepcopy(model.state_dict())
    model.num_guesses, model.wanted = 3, frozenset({"features", "activation"})
    found = _trainer().predict(model, datamodule=Batches([], batches))
    assert found is not None
    for batch, answer in zip(batches, found, strict=True):
        with torch.no_grad():
            maps = nn.Sequential(*list(net)[:3])(_normalised(batch["image"]))
            features = maps.mean(dim=(2, 3))
            chances = net[5](features).softmax(dim=1)
        best = chances.topk(3)
        assert set(answer) == {
            *("label", "probability", "finite", "indoor", "features", "activation")
        }
        got: dict[str, Tensor] = answer
        assert torch.equal(got["label"], best.indices)
        torch.testing.assert_close(got["probability"], best.values, rtol=1e-4, atol=1e-6)
        is_indoor = torch.tensor([setting == "indoor" for setting in load_settings()])
        torch.testing.assert_close(got["indoor"], chances[:, is_indoor].sum(1))
        torch.testing.assert_close(got["features"], features, rtol=1e-4, atol=1e-5)
        assert bool(got["finite"].all())
        for picture, label, places in zip(maps, best.indices[:, 0], got["activation"], strict=True):
            weights = net[5].get_parameter("weight")[label]
            seen = (weights[:, None, None] * picture).sum(dim=0).detach()
            seen = (seen - seen.min()) / (seen.max() - seen.min())
            torch.testing.assert_close(places, seen, rtol=1e-3, atol=1e-4)
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_a_step_outside_of_a_trainer_answers_alike() -> None:
    model, batch = _model(Watching, num_classes=365), _batch(4, 0)
    model.wanted = frozenset({"activation"})
    (inside,) = cast(list[Any], _trainer().predict(model, datamodule=Batches([], [batch])))
    with torch.inference_mode():
        outside = model.eval().predict_step(batch, 0)
    assert inside.keys() == outside.keys()
    for name, value in inside.items():
        torch.testing.assert_close(value, outside[name], rtol=1e-4, atol=1e-5)


def test_without_a_wish_there_are_guesses_only() -> None:
    model = _model(Tiny)
    (answer,) = cast(list[Any], _trainer().predict(model, datamodule=Batches([], [_batch(4, 0)])))
    # Six classes are not those of which it is known which are indoor.
    assert set(answer) == {"label", "probability", "finite"}
    assert answer["label"].shape == (4, 5)


def test_predicting_between_trainings_sees_the_new_weights() -> None:
    model, batch = _model(Tiny, lr=0.5), _batch(8, 0)
    data, chances = Batches([batch], [batch]), []
    for _ in range(2):
        (answer,) = cast(list[Any], _trainer().predict(model, datamodule=data))
        chances.append(answer["probability"])
        with torch.no_grad():
            net = copy.deepcopy(model.net).eval()
            expected = _logits_by_hand(net, batch).softmax(dim=1).topk(5).values
        torch.testing.assert_close(chances[-1], expected, rtol=1e-4, atol=1e-6)
        _trainer(limit_val_batches=0).fit(model, datamodule=data)
    assert not torch.allclose(chances[0], chances[1], atol=1e-3)


def test_the_average_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs the average that model"):
        _model(use_average=True)


def test_checkpoints_go_with_and_without_an_average(tmp_path: Path) -> None:
    data = Batches([_batch(8, 0)], [_batch(8, 1)])
    paths = []
    for decay in (None, 0.5):
        trainer = _trainer()
        trainer.fit(_model(Tiny, average_decay=decay), datamodule=data)
        paths.append(tmp_path / f"{decay}.ckpt")
        trainer.save_checkpoint(paths[-1])
    without, both = paths
    for path, decay in ((without, 0.5), (both, None), (both, 0.5)):
        model = _model(Tiny, average_decay=decay)
        _trainer(max_epochs=2).fit(model, datamodule=data, ckpt_path=path)
    model = _model(Tiny, average_decay=0.5, use_average=True)
    with pytest.raises(CheckpointError, match="has no average of the weights"):
        _trainer().test(model, datamodule=data, ckpt_path=without, verbose=False)
    _trainer().test(model, datamodule=data, ckpt_path=both, verbose=False)
    saved = torch.load(both, weights_only=True)["state_dict"]
    assert {name.partition(".")[0] for name in saved} == {"net", "average"}  # no sums of scores
    assert torch.equal(saved["average.8.bias"], model.state_dict()["average.8.bias"])


def test_draws_go_on_where_they_were(tmp_path: Path) -> None:
    augment = Augment(mixup=1.0, erase=0.5)
    data = Batches([_batch(8, seed) for seed in range(4)])
    whole = _fit(_model(augment=augment), data, max_epochs=2)
    trainer = _trainer(limit_val_batches=0)
    trainer.fit(_model(augment=augment), datamodule=data)
    trainer.save_checkpoint(tmp_path / "half.ckpt")
    model = _model(augment=augment)
    trainer = _trainer(limit_val_batches=0, max_epochs=2)
    trainer.fit(model, datamodule=data, ckpt_path=tmp_path / "half.ckpt")
    for name, value in whole.weights[-1].items():
        assert torch.equal(model.state_dict()[name], value)


def test_pictures_of_any_size_arrive() -> None:
    augment = Augment(trivial=True, erase=1.0, mixup=1.0)
    watch = _fit(_model(Tiny, augment=augment), Batches([_batch(4, 0), _batch(4, 1, size=17)]))
    assert all(bool(value.isfinite().all()) for value in watch.weights[-1].values())


def test_it_trains_in_bfloat16_on_the_cpu() -> None:
    data = Batches([_batch(8, 0)], [_batch(8, 1)])
    options: dict[str, Any] = {"augment": Augment(trivial=True, mixup=1.0), "average_decay": 0.9}
    exact = _fit(_model(**options), data)
    rounded = _fit(_model(**options), data, precision="bf16-mixed")
    for name, value in exact.weights[0].items():
        assert rounded.weights[0][name].dtype == torch.float32
        torch.testing.assert_close(rounded.weights[0][name], value, rtol=0.05, atol=0.02)
    loss = exact.logged[0]["train/loss"]
    assert rounded.logged[0]["train/loss"] == pytest.approx(loss, rel=0.02)
    assert rounded.logged[0]["train/loss"] != loss


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_a_compiled_network_trains_alike() -> None:
    data = Batches([_batch(8, seed) for seed in range(2)], [_batch(8, 5)])
    options: dict[str, Any] = {"augment": Augment(mixup=1.0), "average_decay": 0.9}
    eager = _fit(_model(Tiny, **options), data)
    compiled = _fit(_model(Tiny, compile=True, **options), data)
    assert eager.weights[-1].keys() == compiled.weights[-1].keys()
    for name, value in eager.weights[-1].items():
        torch.testing.assert_close(compiled.weights[-1][name], value, rtol=1e-3, atol=1e-4)


def test_a_network_is_compiled_for_each_size_of_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    compile_net = nn.Module.compile
    # No compiler behind it: what is tested is torch's limit, which another test may have raised.
    monkeypatch.setattr(
        nn.Module, "compile", lambda net, **options: compile_net(net, backend="eager", **options)
    )
    monkeypatch.setattr(torch.compiler.config, "recompile_limit", 8)
    monkeypatch.setattr(torch.compiler.config, "fail_on_recompile_limit_hit", True)
    data = Batches([_batch(2, 0, size=size) for size in range(12, 22)], [_batch(2, 1)])
    watch = _fit(_model(compile=True, average_decay=0.9), data)
    assert len(watch.weights) == 10


def test_sync_batchnorm_changes_no_name_and_no_score() -> None:
    # The rest needs several GPUs: torch refuses to train such layers in processes on the CPU.
    model = _model(Tiny, average_decay=0.9)
    names, images = model.state_dict().keys(), _batch(4, 0)["image"]
    before = model.eval()(images)
    convert: Callable[[SceneClassifier], SceneClassifier] = nn.SyncBatchNorm.convert_sync_batchnorm
    synced = convert(model)
    assert synced.state_dict().keys() == names
    assert sum(isinstance(module, nn.SyncBatchNorm) for module in synced.modules()) == 4
    assert torch.equal(synced(images), before)
