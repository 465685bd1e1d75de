import copy
import hashlib
import json
from typing import Any

from places.config.config_hash import config_hash

CONFIG: dict[str, Any] = {
    "seed_everything": 0,
    "model": {"class_path": "a.B", "init_args": {"lr": 0.1, "compile": None, "api_key": "x"}},
    "data": {"class_path": "c.D", "init_args": {"root": "a", "num_threads": 2, "batch_size": 8}},
    "trainer": {
        "max_epochs": 3,
        "devices": 1,
        "limit": 1.0,
        "callbacks": [{"class_path": "x.E", "init_args": {}}, {"class_path": "x.F"}],
    },
}


def _with(key: str, value: object) -> dict[str, Any]:
    config = copy.deepcopy(CONFIG)
    *way, last = key.split(".")
    part: Any = config
    for name in way:
        part = part[name]
    part[last] = value
    return config


def test_only_results_count() -> None:
    plain = config_hash(CONFIG)
    for key, value in {
        "trainer.devices": 8,
        "data.init_args.root": "elsewhere",
        "data.init_args.num_threads": 5,
        "model.init_args.compile": True,
        "model.init_args.api_key": "y",  # no secret can be guessed from a hash
        "trainer.max_epochs": 3.0,
        "trainer.limit": 1,
    }.items():
        assert config_hash(_with(key, value)) == plain, key
    others = {
        "seed_everything": 1,
        "model.init_args.lr": 0.2,
        "model.class_path": "a.C",
        "data.init_args.batch_size": 9,
        "trainer.callbacks": CONFIG["trainer"]["callbacks"][::-1],
        "trainer.limit": True,
        "trainer.max_epochs": None,
        "trainer.max_time": float("inf"),
    }
    assert len({plain, *(config_hash(_with(k, v)) for k, v in others.items())}) == len(others) + 1


def test_it_is_the_digest_of_canonical_json() -> None:
    # By hand: sorted keys as they are typed, no spaces, the order of callbacks beside them.
    content = {
        "data.batch_size": 8,
        "data.class_path": "c.D",
        "model.api_key": "********",
        "model.class_path": "a.B",
        "model.lr": 0.1,
        "seed_everything": 0,
        "trainer.callbacks[E].class_path": "x.E",
        "trainer.callbacks[F].class_path": "x.F",
        "trainer.callbacks[]": ["E", "F"],
        "trainer.limit": 1,
        "trainer.max_epochs": 3,
    }
    text = json.dumps(content, separators=(",", ":"))
    assert config_hash(CONFIG) == hashlib.sha256(text.encode()).hexdigest()
