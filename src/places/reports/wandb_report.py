"""A report for Weights & Biases that compares runs: the numbers and figures of the page of them."""

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from places.console import printable, say, size_in_words
from places.errors import ConfigError, PlacesError
from places.files import write_text
from places.reports.figures import SERIES
from places.reports.markdown import markdown_table, markdown_text
from places.reports.networks_section import networks_section
from places.reports.page import about_run
from places.reports.page.compared_runs import context_of_several
from places.reports.page.related_runs import training_of, with_earlier
from places.reports.run_facts import RunFacts
from places.reports.wandb_pictures import Picture, data_url, pictures_of_runs
from places.reports.wandb_runs import wandb_ids

if TYPE_CHECKING:
    from wandb_workspaces.reports.v2.interface import Report

INSTALL = "pip install 'places[report]'"
_MAX_TITLE = 128  # characters, of W&B
_CURVES = ("val/top1", "val/loss", "train/loss", "val/top5", "train/learning_rate")
_SPEED = ("time/images_per_second", "time/waiting_share", "memory/process_gib")
_MEDIA = ("predictions", "confusion", "reliability_diagram")
_STEP = "trainer/global_step"  # under which Lightning logs


def project_of(text: str) -> tuple[str, str]:
    """Return the entity and the project that are meant by ENTITY/PROJECT.

    Raises:
        ConfigError: It is not of that form.
    """
    entity, separator, project = text.partition("/")
    if not entity or not separator or not project or "/" in project:
        raise ConfigError(
            f"--wandb takes ENTITY/PROJECT, not {text!r}",
            "ENTITY is your name or your team at Weights & Biases:  --wandb me/places",
        )
    return entity, project


def wandb_report(
    runs: Sequence[RunFacts],
    entity: str,
    project: str,
    networks: Mapping[str, Any] | None = None,
) -> "Report":
    """Return a report of runs, made without a network.

    Args:
        runs: What they tell.
        entity: To whom it will belong.
        project: In which project it will be; curves and pictures are shown of runs that were logged
            there.
        networks: What `places bench networks` measured, if that is to be shown.

    Raises:
        ConfigError: The package that makes it is not installed.
    """
    wr = _package()
    context = context_of_several(runs, networks)
    names: list[str] = context["names"]
    trainings = [
        with_earlier(run if run.stage == "fit" else training_of(run) or run) for run in runs
    ]
    ids = _ids(names, runs, trainings)
    pairs = zip(names, runs, trainings, strict=True)
    missing = [n for n, run, training in pairs if not _ids([n], [run], [training])]
    if ids and missing:
        say(f"not logged to Weights & Biases, so without live curves: {', '.join(missing)}")
    pictures = pictures_of_runs(names, runs, trainings)
    blocks: list[Any] = [
        wr.MarkdownBlock(_about(context)),
        wr.TableOfContents(),
        *_section(wr, "Scores", _scores(context), pictures["scores"]),
        *_section(wr, "Curves", _curves_text(ids), pictures["curves"]),
        *_panels(wr, ids),
        *_section(wr, "What differs in the configs", _config(context), []),
        *_section(wr, "Where the time went", _times(names, trainings), pictures["times"]),
        *_section(wr, "Pictures", _pictures_text(pictures["pictures"]), pictures["pictures"]),
        *_media(wr, ids),
        *_networks(wr, networks),
        *_section(wr, "What was run", _what(names, runs), []),
    ]
    # It becomes a part of the address.
    title = f"places: {context['title'].replace('/', ' ')}"[:_MAX_TITLE]
    made: Report = wr.Report(
        entity=entity,
        project=project,
        title=title,
        description="Made by `places report`.",
        blocks=blocks,
    )
    return made


def write_json(report: "Report", path: Path) -> None:
    """Write what would be sent of a report, as JSON.

    Raises:
        StorageError: The system refuses to write.
    """
    # Its `save` makes this and sends it; there is no public name for it.
    model = report._to_model()  # type: ignore[no-untyped-call]  # its own
    content = {
        "entityName": report.entity,
        "projectName": report.project,
        "displayName": report.title,
        "description": report.description,
        "type": "runs",
        "spec": json.loads(model.spec.model_dump_json(by_alias=True, exclude_none=True)),
    }
    write_text(path, f"{json.dumps(content, indent=2, ensure_ascii=False)}\n")


def send(report: "Report") -> str:
    """Send a report, and return its address.

    Raises:
        PlacesError: Weights & Biases does not take it.
    """
    try:
        report.save()
    except Exception as error:  # of a network, or of what the service answered
        reason = printable(str(error).strip().partition("\n")[0])[:300] or type(error).__name__
        raise PlacesError(
            f"Weights & Biases took no report: {reason}",
            "log in:             wandb login",
            "without a network:  --wandb_json FILE  writes what would be sent",
        ) from error
    return str(report.url)


def _package() -> Any:  # noqa: ANN401  # a module
    try:
        with warnings.catch_warnings():  # that it uses old names of pydantic is its own matter
            warnings.simplefilter("ignore", DeprecationWarning)
            import wandb_workspaces.reports.v2 as wr  # an extra
    except ImportError as error:
        raise ConfigError(f"--wandb needs a package that is not installed:  {INSTALL}") from error
    return wr


def _ids(
    names: Sequence[str], runs: Sequence[RunFacts], trainings: Sequence[RunFacts]
) -> dict[str, str]:
    """Return for ids of W&B the name of the run that was logged as it."""
    found: dict[str, str] = {}
    for name, run, training in zip(names, runs, trainings, strict=True):
        for folder in {run.folder: None, training.folder: None}:
            for id_ in wandb_ids(folder):
                found.setdefault(id_, name)
    return found


def _section(wr: Any, title: str, text: str, pictures: Sequence[Picture]) -> list[Any]:  # noqa: ANN401  # a module
    """Return a heading with what is below it; nothing where there is nothing."""
    if not text and not pictures:
        return []
    images = [wr.Image(url=picture.url, caption=picture.caption) for picture in pictures]
    return [wr.H2(title), *([wr.MarkdownBlock(text)] if text else []), *images]


def _about(context: dict[str, Any]) -> str:
    rows = [
        (name, run.stage, network, day, run.state, run.progress)
        for name, run, network, day in zip(
            *(context[key] for key in ("names", "runs", "networks", "days")), strict=True
        )
    ]
    table = markdown_table(("run", "stage", "network", "started", "state", "how far"), rows)
    notes = [f"- {markdown_text(note)}" for note in context["notes"]]
    return "\n".join([table, *(["", *notes] if notes else [])])


def _scores(context: dict[str, Any]) -> str:
    if not context["score_rows"]:
        return ""
    rows = [
        (label, *("" if score is None else _with_interval(score) for score in scores))
        for label, scores in context["score_rows"]
    ]
    lines = [markdown_table(("score, with its 95 % interval", *context["names"]), rows), ""]
    for name, difference in zip(context["names"], context["differences"], strict=False):
        if difference is not None:
            words = f"{name}: {difference.points}, {difference.verdict}. {difference.how}."
            lines.append(f"- {markdown_text(words)}")
    if context["why_not"] and len(context["names"]) > 1:
        lines.append(markdown_text(f"No difference is told: {context['why_not']}."))
    if context["categories"]:
        rows = [
            (name, *(f"{row.top1:.1%} of {row.num_images:,}" for row in pair), f"{change} points")
            for name, pair, change in context["categories"]
        ]
        columns = ("category", *context["names"], "difference")
        lines += ["", "The categories that differ most:", "", markdown_table(columns, rows)]
    return "\n".join(lines)


def _with_interval(score: Any) -> str:  # noqa: ANN401  # a Score
    return f"{score.text} ({score.interval_text})" if score.interval_text else str(score.text)


def _curves_text(ids: dict[str, str]) -> str:
    if ids:
        return "Below these pictures are the same curves, live, of what was logged to this project."
    return "These runs were not logged to Weights & Biases, so their curves are pictures."


def _config(context: dict[str, Any]) -> str:
    rows = context["config_rows"] or []
    if len(context["names"]) < 2:
        return ""
    if not rows:
        return "Nothing."
    return markdown_table(("setting", *context["names"]), [(key, *values) for key, values in rows])


def _times(names: Sequence[str], trainings: Sequence[RunFacts]) -> str:
    parts = dict.fromkeys(part for run in trainings for part in about_run.ordered(run.times_s))
    rows = []
    for part in about_run.ordered(dict.fromkeys(parts, 0.0)):
        label = about_run.PART_NAMES.get(part, part)
        rows.append((label, *(_share(run.times_s, part) for run in trainings)))
    wholes = [sum(run.times_s.values()) for run in trainings]
    if any(wholes):
        rows.append(
            ("whole run", *(about_run.duration(whole) if whole else "" for whole in wholes))
        )
    for place in dict.fromkeys(place for run in trainings for place in run.memory_bytes):
        peaks = (run.memory_bytes.get(place) for run in trainings)
        cells = ("" if peak is None else size_in_words(peak) for peak in peaks)
        rows.append((f"memory, {place}", *cells))
    return markdown_table(("part", *names), rows) if rows else ""


def _share(times_s: dict[str, float], part: str) -> str:
    whole, value = sum(times_s.values()), times_s.get(part)
    return "" if value is None else f"{about_run.duration(value)} ({value / whole:.1%})"


def _pictures_text(pictures: Sequence[Picture]) -> str:
    return "What was most confidently wrong in each test." if pictures else ""


def _networks(wr: Any, content: Mapping[str, Any] | None) -> list[Any]:  # noqa: ANN401  # a module
    if content is None:
        return []
    section, lines = networks_section(content), []
    for table in section.tables:
        rows = [list(map(str, row)) for row in table.rows]
        lines += [markdown_text(table.title), "", markdown_table(table.columns, rows), ""]
    figure = section.figure
    pictures = [] if figure is None else [Picture(data_url(figure), "speed against parameters")]
    return _section(
        wr, "Networks", "\n".join([*lines, *map(markdown_text, section.facts)]), pictures
    )


def _what(names: Sequence[str], runs: Sequence[RunFacts]) -> str:
    lines = []
    for name, run in zip(names, runs, strict=True):
        lines += [f"**{markdown_text(name)}**", ""]
        if run.command:
            lines += [f"Command: {markdown_text(about_run.command_line(run.command))}", ""]
        rows = [
            (title, key, value)
            for title, pairs in about_run.fact_tables(run)
            for key, value in pairs
        ]
        lines += [markdown_table(("", "what", "value"), rows), ""]
    return "\n".join(lines)


def _panels(wr: Any, ids: dict[str, str]) -> list[Any]:  # noqa: ANN401  # a module
    """Return panels of what was logged: the curves, and the best and the dearest of each run."""
    if not ids:
        return []
    plots = [
        wr.LinePlot(title=metric, x=_STEP, y=[metric], layout=_place(wr, number))
        for number, metric in enumerate((*_CURVES, *_SPEED))
    ]
    bars = [
        wr.BarPlot(title=metric, metrics=[metric], layout=_place(wr, number))
        for number, metric in enumerate(("best/val/top1", "cost/hours"), len(plots))
    ]
    return [wr.PanelGrid(runsets=[_runset(wr, ids)], panels=[*plots, *bars])]


def _media(wr: Any, ids: dict[str, str]) -> list[Any]:  # noqa: ANN401  # a module
    if not ids:
        return []
    panels = [
        wr.MediaBrowser(
            title=f"{stage}/{name}",
            media_keys=[f"{stage}/{name}"],
            num_columns=4,
            layout=wr.Layout(x=12 * column, y=8 * row, w=12, h=8),
        )
        for row, name in enumerate(_MEDIA)
        for column, stage in enumerate(("val", "test"))
    ]
    return [wr.PanelGrid(runsets=[_runset(wr, ids)], panels=panels)]


def _place(wr: Any, number: int) -> Any:  # noqa: ANN401  # a module
    """Return the place of a panel: three beside each other."""
    return wr.Layout(x=8 * (number % 3), y=6 * (number // 3), w=8, h=6)


def _runset(wr: Any, ids: dict[str, str]) -> Any:  # noqa: ANN401  # a module
    """Return these runs and no others, each in its colour of the figures."""
    from wandb_workspaces import expr

    order = list(dict.fromkeys(ids.values()))
    colors = {id_: SERIES[order.index(name) % len(SERIES)] for id_, name in ids.items()}
    return wr.Runset(
        name="runs",
        filters=expr.And(expr.Metric("ID").isin(list(ids))),
        run_settings={id_: wr.RunSettings(color=color) for id_, color in colors.items()},
    )
