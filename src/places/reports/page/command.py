"""`places report`: one page of a run, or of several beside each other."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from places.console import put, say
from places.errors import ConfigError

if TYPE_CHECKING:
    from places.reports.run_facts import RunFacts

PAGE = "report.html"


def report(
    runs: list[Path],
    file: Path | None = None,
    networks: Path | None = None,
    wandb: str | None = None,
    wandb_json: Path | None = None,
) -> int:
    """Make one page of a run, or of several beside each other: report.html.

    The page is a single file that needs no network: what was run, its curves, scores with their
    intervals, categories, what was confused, pictures, and where its time went. Of several runs
    it shows the curves over each other, what their configs differ in, and whether their scores do.

    Args:
        runs: The folder of a run, such as runs/demo/0; or several.
        file: The page; by default report.html in the folder of the run, of several runs here.
        networks: A file of `places bench networks --file FILE`, to be shown too.
        wandb: ENTITY/PROJECT of Weights & Biases, where a report is made of the same runs: the
            numbers and figures of the page, and live curves of what was logged there.
        wandb_json: Write what would be sent to Weights & Biases into this file, and send nothing.

    Raises:
        DataError: A folder is not that of a run, or the file of networks is none.
        StorageError: The page cannot be written.
    """
    from places.reports.networks_file import read_networks
    from places.reports.page.write import write_page  # what it imports takes a second
    from places.reports.run_facts import read_run

    for run in {*runs}:
        if runs.count(run) > 1:
            raise ConfigError(f"{run} is given twice")
    if wandb_json is not None and wandb is None:
        raise ConfigError("--wandb_json needs to know for whom", "type:  --wandb ENTITY/PROJECT")
    path = file or (runs[0] / PAGE if len(runs) == 1 else Path(PAGE))
    if path.is_dir():
        raise ConfigError(f"`file` {path} is a folder", f"name a file:  {path / PAGE}")
    costs = None if networks is None else read_networks(networks)
    facts = [read_run(run) for run in runs]
    if wandb is None:
        write_page(facts, path, costs)
        put(f"{path}")
    else:
        _report_to_wandb(facts, costs, wandb, wandb_json)
    return 0


def _report_to_wandb(
    runs: "Sequence[RunFacts]", networks: dict[str, Any] | None, project: str, path: Path | None
) -> None:
    from places.reports.wandb_report import project_of, send, wandb_report, write_json

    made = wandb_report(runs, *project_of(project), networks)
    if path is None:
        put(send(made))
    else:
        write_json(made, path)
        put(f"{path}")


def report_at_end(folder: Path) -> None:
    """Make the page of a run that has just ended; if that fails, it is said, and all is well."""
    path = folder / PAGE
    try:
        from places.reports.page.write import write_page
        from places.reports.run_facts import read_run

        write_page([read_run(folder)], path)
    except Exception as error:  # a page is not worth a run
        reason = str(error).partition("\n")[0] or type(error).__name__
        say(f"{PAGE} is not written: {reason}")
    else:
        say(f"a page to look at: {path}")
