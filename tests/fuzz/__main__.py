"""`make fuzz MINUTES=30`: random inputs of all kinds, each repeatable by its seed."""

import argparse
import collections
import importlib
import os
import random
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"


def main() -> int:
    """Try inputs until the time is up, and say how many of which kind there were."""
    here = Path(__file__).parent
    names = sorted(path.stem.removeprefix("test_") for path in here.glob("test_*.py"))
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--kind", choices=names, action="append", help="only this kind")
    parser.add_argument("--seed", type=int, help="repeat the one input with this seed")
    asked = parser.parse_args()
    ones = {
        name: importlib.import_module(f"tests.fuzz.test_{name}").one for name in asked.kind or names
    }
    counts: collections.Counter[str] = collections.Counter()
    spent_s = dict.fromkeys(ones, 0.0)
    warnings.simplefilter("ignore")  # of Pillow, about damaged metadata
    failures, start_s = 0, time.monotonic()
    while time.monotonic() - start_s < 60 * asked.minutes:
        name = min(spent_s, key=lambda kind: spent_s[kind])  # each kind gets as much time
        seed = random.SystemRandom().randrange(2**32) if asked.seed is None else asked.seed
        began_s = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            try:
                kind = ones[name](random.Random(seed), Path(folder))
                counts[f"{name}: {kind}"] += 1
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                failures += 1
                traceback.print_exc()
                print(f"REPEAT IT:  python -m tests.fuzz --kind {name} --seed {seed}", flush=True)
        spent_s[name] += time.monotonic() - began_s
        if asked.seed is not None:
            break
    for kind, count in sorted(counts.items()):
        print(f"{count:8,}  {kind}")
    print(f"{sum(counts.values()):8,}  in all, {failures} failed")
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
