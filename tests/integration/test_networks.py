"""Networks of all kinds through the commands: trained, resumed, used, refused."""

import csv
from pathlib import Path

import pytest
import torch
from PIL import Image
from tests.integration.stages import fit_in, load_weights, run

import places
from places.models import RepVGG

SHORT = ["--trainer.max_epochs", 1, "--trainer.limit_train_batches", 2]
SHORT += ["--trainer.limit_val_batches", 1, "--data.batch_size", 4]


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "photo.png"
    noise = torch.randint(0, 256, (40, 50, 3), dtype=torch.uint8)
    Image.fromarray(noise.numpy()).save(path)
    return path


def _rows(table: Path) -> list[dict[str, str]]:
    with table.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_repvgg_is_trained_with_branches_and_used_without(
    sample: Path, tmp_path: Path, photo: Path
) -> None:
    words = ["--data.root", sample, *SHORT, "--model.net", "RepVGG"]
    folder = fit_in(tmp_path, *words, "--model.net.variant", "A0")
    assert run("predict", photo, "--ckpt_path", folder) == 0
    (table,) = (tmp_path / "runs").rglob("predictions.csv")
    (row,) = _rows(table)
    net = RepVGG(365, "A0").eval()
    stored = load_weights(folder / "checkpoints" / "last.ckpt")
    net.load_state_dict({key[4:]: x for key, x in stored.items() if key.startswith("net.")})
    model = places.load(folder)
    seen: list[torch.Tensor] = []
    assert not any(isinstance(x, torch.nn.BatchNorm2d) for x in _modules_of(model))
    prediction = model.predict(photo)
    with torch.no_grad():
        seen.append(net(_pixels(photo)).softmax(dim=1)[0])
    best = seen[0].topk(5)
    assert [int(row[f"index_{n}"]) for n in range(1, 6)] == best.indices.tolist()
    got = [float(row[f"probability_{n}"]) for n in range(1, 6)]
    assert got == pytest.approx(best.values.tolist(), abs=2e-6)
    assert prediction.index == best.indices[0]
