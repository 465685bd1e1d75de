"""What is said where outputs of a network are NaN or infinite."""

from places.console import counted
from places.errors import CheckpointError

_CAUSES = (
    "the training diverged or the file is damaged:  take another checkpoint,  --ckpt_path FILE",
    "or the numbers are too large for the precision:  --trainer.precision 32-true",
)


def refusal(what: str, num_not_finite: int, num: int) -> CheckpointError:
    """Return the error that says for how many pictures the outputs are not finite.

    Args:
        what: What there is not because of it.
        num_not_finite: Number of pictures.
        num: Number of all pictures.
    """
    return CheckpointError(
        f"no {what}: the outputs of the network are NaN or infinite for {num_not_finite:,} of "
        f"{counted(num, 'picture')}",
        *_CAUSES,
    )
