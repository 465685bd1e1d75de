"""The files of an operand, and who resolves them."""

from contextlib import ExitStack
from pathlib import Path

from places.cli.configs.operands import Files, Operand, found, found_in
from places.cli.configs.resolvers import Apart, Here, Resolver, Saved
from places.cli.configs.revisions import checked_out, repository


def found_side(asked: Operand, stack: ExitStack) -> tuple[Files, Resolver]:
    """Return the recipes of a side, and who resolves them: for a revision, its own code.

    Args:
        asked: An operand; of one that is saved nothing is to be resolved.
        stack: Ends what is started.

    Raises:
        ConfigError: A recipe or the revision is missing.
    """
    if asked.saved is not None:
        return Files(), Saved()
    if not asked.revision:
        return found(asked), Here()
    source = repository(Path.cwd())
    tree = stack.enter_context(checked_out(source, source.commit(asked.revision)))
    files = found_in(asked, tree, tree / Path.cwd().resolve().relative_to(source.top))
    return files, stack.enter_context(Apart(tree, source.top))
