import hashlib

import pytest

from places.categories import label_of, load_categories, load_settings
from places.errors import DataError


def test_categories_rebuild_the_official_list_to_the_byte() -> None:
    lines = [f"/{name[0]}/{name} {label}" for label, name in enumerate(load_categories())]
    digest = hashlib.md5("\n".join(lines).encode()).hexdigest()
    # Published by torchvision 0.29.1, torchvision/datasets/places365.py.
    assert digest == "06c963b85866bd0649f97cb43dd16673"


def test_settings_count_as_published() -> None:
    settings = load_settings()
    assert (settings.count("indoor"), settings.count("outdoor")) == (160, 205)


@pytest.mark.parametrize("flatten", ["/", "-", "_"])
def test_every_spelling_of_every_category_has_its_official_label(flatten: str) -> None:
    for label, name in enumerate(load_categories()):
        assert label_of(name.replace("/", flatten)) == label
        assert label_of(f"/{name[0]}/{name}") == label


def test_an_unknown_category_names_the_nearest() -> None:
    with pytest.raises(DataError, match=r"unknown category 'air_field'\n  nearest:  airfield"):
        label_of("air_field")


def test_other_category_lists_can_be_used() -> None:
    assert label_of("dog", ["cat", "dog"]) == 1
