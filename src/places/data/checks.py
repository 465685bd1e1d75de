"""Checks of the sizes of pictures that a recipe asks for."""

from places.config.ranges import check_range
from places.errors import ConfigError


def check_pixels(image_size: int, resize_size: int) -> None:
    """Refuse an evaluation crop that is not inside of the resized picture.

    Raises:
        ConfigError: See there.
    """
    check_range("data.image_size", image_size, 1)
    if image_size > resize_size:
        raise ConfigError(
            f"data.image_size {image_size} is larger than data.resize_size {resize_size}",
            "the evaluation crop is cut out of the resized picture",
        )


def check_growth(
    image_size: int, start_image_size: int | None, grow_epochs: tuple[int, int]
) -> None:
    """Refuse training crops that cannot grow as asked for.

    Raises:
        ConfigError: They would shrink, or the epochs do not rise.
    """
    if start_image_size is not None and not 0 < start_image_size <= image_size:
        raise ConfigError(
            f"data.start_image_size {start_image_size} is not between 1 and data.image_size "
            f"{image_size}"
        )
    if not 0 <= grow_epochs[0] < grow_epochs[1]:
        raise ConfigError(
            f"data.grow_epochs {list(grow_epochs)} are no two rising epochs",
            "type two, such as:  --data.grow_epochs [60,75]",
        )
