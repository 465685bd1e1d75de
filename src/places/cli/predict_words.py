"""`places predict PICTURES...`: the pictures as plain words among the options."""

import json
from collections.abc import Sequence
from pathlib import Path

from places.errors import ConfigError
from places.files import name_as_text

_DATA = "places.data.image_files.ImageFiles"
# Options after which no value needs to follow.
_ALONE = ("--help", "-h", "--random_weights", "--print_config")


def with_pictures(words: Sequence[str]) -> list[str]:
    """Return a command line in which words that belong to no option are the pictures to classify.

    Args:
        words: The command line after `places`, beginning with `predict`.

    Raises:
        ConfigError: Pictures are given in two ways.
    """
    pictures, rest = [], list(words[:1])
    is_value = False
    for word in words[1:]:
        is_recipe = word.endswith((".yaml", ".yml")) and Path(word).is_file()
        if is_value or is_recipe or (word.startswith("-") and word != "-"):
            is_value = not is_value and word.startswith("-") and "=" not in word
            is_value &= word not in _ALONE
            rest.append(word)
        elif rest[-1] == "--random_weights" and word in ("true", "false"):
            rest.append(word)
        else:
            pictures.append(word)
    if not pictures:
        return rest
    flags = {word.partition("=")[0] for word in rest}
    if "--data.images" in flags:
        raise ConfigError(f"pictures are given twice: {pictures[0]}, and with --data.images")
    chosen = [] if "--data" in flags else [f"--data={_DATA}"]
    texts = [name_as_text(picture) for picture in pictures]
    # First the class, since the options that follow are its own.
    return [*rest[:1], *chosen, *rest[1:], f"--data.images={json.dumps(texts)}"]
