"""`places sample`: a small synthetic Places365, drawn, archived as the official one, and packed."""

from pathlib import Path

from places.console import progress, put
from places.data.packing.pack import pack
from places.files import storage_error
from places.synthetic.archives import archives_in, write_archives
from places.synthetic.existing import Drawing, check_folder, is_packed_from


def sample(
    root: Path = Path("data/sample"),
    num_train: int = 2400,
    num_val: int = 600,
    num_test: int = 240,
    seed: int = 0,
) -> int:
    """Draw a small synthetic Places365 in the layout of the official archives, and pack it.

    The pictures are drawn by a program. They show how places works, and say nothing about how well
    a network does on photographs.

    Args:
        root: Folder for the shards. The archives go to its folder archives, some pictures of the
            test split to pictures.
        num_train: Training pictures, over all categories.
        num_val: Validation pictures, over all categories.
        num_test: Test pictures, over all categories; their labels stay unwritten.
        seed: The same seed gives the same bytes.

    Returns:
        0.

    Raises:
        DataError: The folder holds other data, or cannot be written to.
    """
    asked, archives = Drawing(seed, num_train, num_val, num_test), archives_in(root)
    try:
        if check_folder(root, asked):
            put(f"drawn before: {root / 'archives'}")
        else:
            with progress("drawing", sum(asked[1:]), "pictures") as counter:
                write_archives(root, **asked._asdict(), progress=counter.advance)
    except OSError as error:
        raise storage_error(f"drawing into {root} failed", error) from error
    # Another version of places may have drawn what is packed.
    return pack(archives, root, force=not is_packed_from(root, archives))
