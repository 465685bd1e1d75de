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


def check_train_order(num_samples: int, batch_size: int, shuffle_window: int | None) -> None:
    """Refuse a batch size or window that makes no epoch.

    Raises:
        ConfigError: The message names the sizes.
    """
    if num_samples < batch_size:
        raise ConfigError(
            f"data.batch_size {batch_size} is larger than the training split",
            f"it has {num_samples} training pictures",
        )
    if shuffle_window is not None and (shuffle_window < 1 or batch_size % shuffle_window):
        divisors = [n for n in range(1, batch_size + 1) if batch_size % n == 0]
        nearest = sorted(divisors, key=lambda n: abs(n - shuffle_window))[:2]
        raise ConfigError(
            f"data.shuffle_window {shuffle_window} does not divide data.batch_size {batch_size}",
            "every batch takes equal parts of that many shards",
            f"nearest:  {', '.join(map(str, sorted(nearest)))}",
        )


def check_batch_size(batch_size: int, num_ranks: int) -> None:
    """Refuse a global batch size that cannot be shared equally by all processes.

    Raises:
        ConfigError: The message names the nearest sizes that can.
    """
    if batch_size < 1 or batch_size % num_ranks:
        lower = max(num_ranks, batch_size // num_ranks * num_ranks)
        raise ConfigError(
            f"data.batch_size {batch_size} cannot be shared equally by {num_ranks} processes",
            "it is the number of pictures per step over all processes",
            f"nearest:  {lower}, {lower + num_ranks}",
        )
