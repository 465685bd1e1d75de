"""Compare recipes at an equal time budget, with several seeds, and write the table with receipts.

    places sample --root data/sample
    python scripts/benchmarks/compare_recipes.py --root data/sample --folder data/comparison \
        --budget_s 180 --seeds 0 1 2

1. Each recipe trains for a few steps, in each size of its crops, which gives pictures per second.
2. From that follow the epochs that fit into the budget: seconds of training, without start and
   validation. Settings that count epochs (when crops grow) are stretched with them.
3. For each seed, each recipe in turn: `places fit`, without looking at the validation pictures
   until the end, and `places test` of the last weights. So nothing is chosen by what is scored.

Run it on a machine that does nothing else. With `--cores_each 2` as many trainings run at once as
there are pairs of cores, each on its own pair; rates are then measured likewise. It can be ended
and called again: what is complete is not run again, as long as recipes, budget, cores and data are
the same. It writes `comparison.md` and `comparison.json`, with the commands, times, load of the
machine and SHA-256 of each result.
"""

import argparse
import csv
import hashlib
import json
import os
import queue
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from places.config.recipes import find_recipe
from places.data.shards.manifest import load_manifest

PLACES = [sys.executable, "-m", "places"]
QUIET = ["--trainer.enable_progress_bar", "false"]
NUM_WARM_UP = 1  # lines of the log in which a network gets going


def run(words: Iterable[object], log: Path, cores: Sequence[int]) -> float:
    """Run `places` on some cores, and return its seconds. A file takes what it says."""
    command = ["taskset", "--cpu-list", ",".join(map(str, cores)), *PLACES, *map(str, words)]
    start_s = time.monotonic()
    with log.open("a", encoding="utf-8") as file:
        file.write(f"$ places {' '.join(command[6:])}\n")
        file.flush()
        done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        sys.exit(f"compare_recipes: places ended with {done.returncode}, see {log}")
    return time.monotonic() - start_s


def read_rates(metrics: Path) -> list[float]:
    """Return the pictures per second in the lines of a log."""
    with metrics.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        return [
            float(row["time/images_per_second"])
            for row in rows
            if row.get("time/images_per_second")
        ]


class Recipe:
    """A recipe and what is known of it before it trains."""

    def __init__(self, name: str) -> None:
        self.name = name.removesuffix(".yaml")
        self.path = find_recipe(name)
        self.text = self.path.read_text(encoding="utf-8")
        settings = yaml.safe_load(self.text)
        data, trainer = settings["data"], settings["trainer"]
        self.batch_size = int(data["batch_size"])
        self.every = int(trainer.get("log_every_n_steps", 50))
        self.epochs = int(trainer["max_epochs"])
        self.size = data.get("train_image_size") or data["image_size"]
        self.start_size = data.get("start_image_size") or self.size
        self.grow_epochs = data.get("grow_epochs", [0, 1])
        self.label = self.name.rpartition("/")[2]

    def fit_words(self, root: Path, folder: Path) -> list[object]:
        """Return the words of a training."""
        where = ["--data.root", root, "--trainer.default_root_dir", folder]
        return ["fit", "--config", self.path, *where, *QUIET]

    def growing(self, num_epochs: int) -> int:
        """Return how many of the epochs have crops of the first size."""
        if self.start_size == self.size:
            return 0
        # At least one epoch has the size that the network is to work with.
        return min(round(num_epochs * self.grow_epochs[1] / self.epochs), num_epochs - 1)

    def train_s(self, num_epochs: int, num_images: int, rates: dict[str, float]) -> float:
        """Return the seconds that a training will take."""
        small = self.growing(num_epochs)
        parts = ((small, rates[str(self.start_size)]), (num_epochs - small, rates[str(self.size)]))
        return sum(epochs * num_images / rate for epochs, rate in parts)


def measure(
    recipe: Recipe, root: Path, folder: Path, num_steps: int, cores: Sequence[int]
) -> dict[str, float]:
    """Return the pictures per second with each size of crops."""
    rates = {}
    for size in sorted({recipe.start_size, recipe.size}):
        place = folder / f"{recipe.label}-{size}"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        sizes = ["--data.start_image_size", "null", "--data.train_image_size", size]
        short = ["--trainer.max_steps", num_steps, "--trainer.limit_val_batches", 0]
        run([*recipe.fit_words(root, place), *sizes, *short], place / "log.txt", cores)
        (metrics,) = place.rglob("metrics.csv")
        found = read_rates(metrics)
        kept = found[NUM_WARM_UP:] or found
        rates[str(size)] = len(kept) / sum(1 / rate for rate in kept)
    return rates


def plan(
    recipe: Recipe, num_images: int, rates: dict[str, float], budget_s: float
) -> dict[str, Any]:
    """Return the epochs that come nearest to the budget, and the flags that make them."""
    counts = range(1, 10_000)
    times = (recipe.train_s(count, num_images, rates) for count in counts)
    within = [count for count, time_s in zip(counts, times, strict=False) if time_s <= budget_s]
    epochs = max(within, default=1)
    flags: list[object] = ["--trainer.max_epochs", epochs]
    flags += ["--trainer.check_val_every_n_epoch", epochs]  # at the end only
    if small := recipe.growing(epochs):
        flags.append(f"--data.grow_epochs=[{small - 1},{small}]")
    elif recipe.start_size != recipe.size:
        flags += ["--data.start_image_size", "null"]
    expected_s = recipe.train_s(epochs, num_images, rates)
    return {"rates": rates, "epochs": epochs, "flags": flags, "expected_s": round(expected_s, 1)}


def train_and_test(
    recipe: Recipe,
    planned: dict[str, Any],
    seed: int,
    root: Path,
    place: Path,
    cores: Sequence[int],
) -> dict[str, Any]:
    """Train and test once, and return the record of it."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    started, load = time.strftime("%Y-%m-%dT%H:%M:%S%z"), os.getloadavg()[0]
    seeds = ["--seed_everything", seed, "--data.seed", seed]
    words = [*recipe.fit_words(root, place / "fit"), *seeds, *planned["flags"]]
    fit_s = run(words, place / "log.txt", cores)
    (last,) = (place / "fit").rglob("last.ckpt")
    tested = ["--trainer.default_root_dir", place / "test", *QUIET]
    words_of_test = ["test", "--ckpt_path", last, "--data.root", root, *tested]
    test_s = run(words_of_test, place / "log.txt", cores)
    (result,) = (place / "test").rglob("result.json")
    (metrics,) = (place / "fit").rglob("metrics.csv")
    content = result.read_bytes()
    found = json.loads(content)
    rates = read_rates(metrics)
    images = found["training"]["num_images_seen"]
    return {
        "recipe": recipe.name,
        "seed": seed,
        "command": f"places {' '.join(map(str, words))}",
        "started": started,
        "load_before": load,
        "cores": list(cores),
        # Of the pictures in the log, which leaves out validation; the last few are not in it.
        "train_s": round(images * statistics.fmean(1 / rate for rate in rates), 1),
        "fit_s": round(fit_s, 1),
        "test_s": round(test_s, 1),
        "images": images,
        "scores": found["scores"],
        "intervals": found["intervals"],
        "num_images": found["num_images"],
        "result_sha256": hashlib.sha256(content).hexdigest(),
        "data": found["data"],
        "code": found["code"],
        "hardware": found["hardware"],
        "versions": found["versions"],
    }


def as_table(plans: dict[str, Any], records: list[dict[str, Any]]) -> str:
    """Return the table in Markdown, the best first."""
    lines = ["| recipe | epochs | training, s | pictures/s | top-1 | seeds | loss |"]
    lines += ["|---|--:|--:|--:|--:|---|--:|"]
    rows = []
    for name, planned in plans.items():
        found = [record for record in records if record["recipe"] == name]
        if not found:
            continue
        top1 = [record["scores"]["top1"] for record in found]
        seconds = [record["train_s"] for record in found]
        span = f"{min(seconds):.0f} to {max(seconds):.0f}"
        rate = statistics.fmean(record["images"] / record["train_s"] for record in found)
        seeds = ", ".join(f"{value:.1%}" for value in top1)
        loss = statistics.fmean(record["scores"]["loss"] for record in found)
        mean = statistics.fmean(top1)
        cells = f"| `{name}` | {planned['epochs']} | {span} | {rate:.0f} | {mean:.1%} | {seeds} |"
        rows.append((mean, f"{cells} {loss:.3f} |"))
    return "\n".join([*lines, *(row for _, row in sorted(rows, reverse=True)), ""])


def write_tables(folder: Path, plans: dict[str, Any], budget_s: float) -> str:
    """Write both tables of what is complete, and return the one in Markdown."""
    files = sorted(folder.glob("runs/*/record.json"))
    records = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    records = [record for record in records if record["recipe"] in plans]
    content = {"budget_s": budget_s, "plans": plans, "records": records}
    (folder / "comparison.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    table = as_table(plans, records)
    (folder / "comparison.md").write_text(table, encoding="utf-8")
    return table


def in_parallel(
    works: Sequence[Callable[[Sequence[int]], None]], cores: Sequence[Sequence[int]]
) -> None:
    """Do all works, as many at once as there are groups of cores; each is given a free group.

    Raises:
        SystemExit: One failed. Those that were not begun are left out.
    """
    free: queue.SimpleQueue[Sequence[int]] = queue.SimpleQueue()
    for group in cores:
        free.put(group)

    def do(work: Callable[[Sequence[int]], None]) -> None:
        group = free.get()
        try:
            work(group)
        finally:
            free.put(group)

    with ThreadPoolExecutor(len(cores)) as pool:
        started = [pool.submit(do, work) for work in works]
        try:
            for future in started:
                future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def groups_of(cores_each: int | None) -> list[list[int]]:
    """Return the cores of this process in groups of equal size; all in one by default."""
    cores = sorted(os.sched_getaffinity(0))
    size = cores_each or len(cores)
    if not 0 < size <= len(cores):
        sys.exit(f"compare_recipes: --cores_each {size}, but there are {len(cores)} cores")
    return [cores[start : start + size] for start in range(0, len(cores) - size + 1, size)]


def plans_of(
    asked: argparse.Namespace, recipes: list[Recipe], cores: list[list[int]]
) -> dict[str, Any]:
    """Return how long each recipe trains: as planned before, or measured now.

    Raises:
        SystemExit: The folder holds a comparison of something else.
    """
    manifest = load_manifest(asked.root, "train")
    key = {
        "budget_s": asked.budget_s,
        "cores": cores,
        "data": manifest.digest,
        "recipes": {recipe.name: recipe.text for recipe in recipes},
    }
    path = asked.folder / "plan.json"
    if path.is_file():
        stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if stored["key"] != key:
            sys.exit(f"compare_recipes: {asked.folder} holds another comparison: give --folder")
        return dict(stored["plans"])
    plans: dict[str, Any] = {recipe.name: None for recipe in recipes}  # in their order

    def measured(recipe: Recipe, group: Sequence[int]) -> None:
        rates = measure(recipe, asked.root, asked.folder / "rates", asked.num_steps, group)
        plans[recipe.name] = plan(recipe, manifest.num_samples, rates, asked.budget_s)
        print(recipe.name, plans[recipe.name], flush=True)

    in_parallel([partial(measured, recipe) for recipe in recipes], cores)
    path.write_text(json.dumps({"key": key, "plans": plans}, indent=1) + "\n", encoding="utf-8")
    return plans


def main() -> None:
    """Run what is missing, and write the tables after each run."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--root", type=Path, default=Path("data/sample"))
    parser.add_argument("--folder", type=Path, default=Path("data/comparison"))
    parser.add_argument("--budget_s", type=float, default=180.0, help="seconds of training")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--recipes", nargs="+", help="all of configs/sample by default")
    parser.add_argument("--num_steps", type=int, default=40, help="steps to measure rates with")
    parser.add_argument("--cores_each", type=int, help="cores of a training; all by default")
    asked = parser.parse_args()
    samples = sorted(find_recipe("sample/resnet18.yaml").parent.glob("*.yaml"))
    names = asked.recipes or [f"sample/{path.name}" for path in samples]
    recipes = [Recipe(name) for name in names]
    asked.folder.mkdir(parents=True, exist_ok=True)
    cores = groups_of(asked.cores_each)
    plans = plans_of(asked, recipes, cores)

    def train(seed: int, recipe: Recipe, group: Sequence[int]) -> None:
        place = asked.folder / "runs" / f"{recipe.label}-{seed}"
        if (place / "record.json").is_file():
            return
        record = train_and_test(recipe, plans[recipe.name], seed, asked.root, place, group)
        text = json.dumps(record, indent=1) + "\n"
        (place / "record.json").write_text(text, encoding="utf-8")
        print(f"{recipe.label} {seed}: {record['scores']['top1']:.1%}", flush=True)
        with lock:
            write_tables(asked.folder, plans, asked.budget_s)

    lock = threading.Lock()
    in_parallel([partial(train, seed, recipe) for seed in asked.seeds for recipe in recipes], cores)
    print(write_tables(asked.folder, plans, asked.budget_s))


if __name__ == "__main__":
    main()
