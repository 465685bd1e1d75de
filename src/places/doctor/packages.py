"""Which packages are installed, and whether they are the ones that `places` asks for."""

import platform
from collections.abc import Iterable, Iterator
from importlib import metadata

from packaging.requirements import Requirement

from places.doctor.finding import Finding

# Releases that were published by thieves of the project's keys, and run their code when imported.
_MALWARE = {("lightning", "2.6.2"), ("lightning", "2.6.3")}


def package_findings() -> Iterator[Finding]:
    """Compare what is installed with what the installed `places` says that it needs."""
    yield Finding("python", platform.python_version())
    try:
        wanted = metadata.requires("places") or []
        yield Finding("places", metadata.version("places"))
    except metadata.PackageNotFoundError:
        yield Finding("places", "", "not installed as a package", "pip install -e .")
        return
    yield from requirement_findings(map(Requirement, wanted))


def requirement_findings(wanted: Iterable[Requirement]) -> Iterator[Finding]:
    """Look for each package: the needed ones must be there, those of extras fit if they are.

    Args:
        wanted: What is needed; of an extra where its marker says so.
    """
    for requirement in wanted:
        if requirement.marker is not None and not any(
            requirement.marker.evaluate({"extra": extra}) for extra in _extras(requirement)
        ):
            continue  # for other systems
        is_extra = "extra ==" in str(requirement.marker or "")
        yield _finding(requirement, is_extra)


def _extras(requirement: Requirement) -> list[str]:
    words = str(requirement.marker).split('"')
    return ["", *words[1::2]]


def _finding(requirement: Requirement, is_extra: bool) -> Finding:
    name, typed = requirement.name, f"pip install '{_without_marker(requirement)}'"
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        problem = "" if is_extra else "not installed"
        return Finding(name, "not installed", problem, "" if is_extra else typed)
    if (name, version) in _MALWARE:
        problem = "this release carried malware: change every secret that this machine knows"
        return Finding(name, version, problem, typed)
    if not requirement.specifier.contains(version, prereleases=True):
        return Finding(name, version, f"places needs {requirement.specifier}", typed)
    return Finding(name, version)


def _without_marker(requirement: Requirement) -> str:
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    return f"{requirement.name}{extras}{requirement.specifier}"
