"""Which pictures somebody means: by files, folders, patterns, tars, URLs and lists of them."""

import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

from places.config.secrets import without_credentials
from places.console import FirstFew
from places.data.folder_pictures import (
    braces_filled,
    is_pattern,
    is_picture,
    kind_at,
    matches_of,
    pictures_in,
)
from places.data.pictures import Files, Nothing, Pictures, Place, Urls
from places.data.remote.single_files import SingleFiles, fetch_whole
from places.data.remote.urls import is_url
from places.data.shards.tar_reader import Member
from places.data.streaming.picture_files import MAX_FILE_BYTES
from places.data.streaming.samples import Cache
from places.data.tar_labels import TarLabels
from places.data.tar_pictures import BETWEEN, TarOfPictures
from places.errors import ConfigError, DataError, StorageError
from places.files import open_regular, storage_error, text_as_name

LISTS = (".txt", ".csv", ".lst", ".list")
_TAR = ".tar"
_UNPACK = {  # by the ending of an archive
    ".zip": "unzip {name} -d FOLDER",
    ".7z": "7z x {name} -oFOLDER",
    ".rar": "unrar x {name} FOLDER/",
    ".tgz": "gzip -dc {name} > {stem}.tar",
    ".tbz2": "bzip2 -dc {name} > {stem}.tar",
    ".txz": "xz -dc {name} > {stem}.tar",
    ".gz": "gzip -dc {name} > {stem}",
    ".bz2": "bzip2 -dc {name} > {stem}",
    ".xz": "xz -dc {name} > {stem}",
    ".zst": "zstd -dc {name} > {stem}",
    ".lz4": "lz4 -dc {name} > {stem}",
}
_MOST_LIST_BYTES = 2**30
_NOT_PLAIN = re.compile(r"//|/$|(^|/)\./|/\.$|^\.$")
_MEMBER = re.compile(rf"(.+?\.tar){BETWEEN}(.+)", re.IGNORECASE | re.DOTALL)


def find_pictures(
    sources: Iterable[str], *, null: bool, cache: Cache | None = None
) -> tuple[Pictures, FirstFew]:
    """Return the pictures that are meant, each once, and what else was found and left out.

    Sources follow each other as they are given; the pictures of a folder or a pattern are in
    natural order, in which 2 comes before 10, those of a tar as they lie in it.

    Args:
        sources: Each a picture, a folder with all its subfolders, a pattern such as `*.jpg`, a tar,
            the URL of a picture or of a tar, `@FILE` or `@URL` for a list of pictures, or `-` for
            one on standard input; a list has a path or URL in each line.
        null: Whether a zero byte ends each path of a list, instead of a line.
        cache: Where tars behind URLs are kept, and how long to be patient with servers.

    Raises:
        DataError: A source is no picture and no folder, or there are no pictures in any.
        ConfigError: A URL that cannot be read.
        StorageError: A disk, a network or a server fails.
    """
    sources = [text_as_name(source) for source in sources]
    finder = _Finder(null, cache or Cache(), is_one=len(sources) == 1)
    for source in sources:
        finder.add(source)
    if not len(finder.pictures):
        raise _nothing_in(sources, finder.left_out)
    return finder.pictures, finder.left_out


class _Finder:
    def __init__(self, null: bool, cache: Cache, is_one: bool) -> None:
        self.pictures = Pictures()
        self.left_out = FirstFew()
        self._null = null
        self._cache = cache
        self._files, self._urls = Files(), Urls(SingleFiles(cache.timeout_s, MAX_FILE_BYTES))
        self._lists = SingleFiles(cache.timeout_s, _MOST_LIST_BYTES)
        self._fetched_bytes = 0
        self._is_one = is_one
        self._seen = set[str]()
        self._reasons: dict[tuple[str, str], Nothing] = {}  # by tar
        self._servers = set[str]()  # of URLs that can be read

    def add(self, source: str) -> None:
        """Add the pictures of one source."""
        if source == "-":
            data = sys.stdin.buffer.read(_MOST_LIST_BYTES + 1)
            self._add_list(data, "standard input", "")
        elif source.startswith("@"):
            self._add_list_at(source[1:])
        elif _is_url(source):
            self._add_urls(source)
        elif (kind := kind_at(source)) and not (kind == "denied" and is_pattern(source)):
            self._add_path(source, kind)
        elif found := _member_of_tar(source):
            self._add_tar(TarOfPictures(Path(found[0])), found[1])
        else:
            self._add_matches(source)

    def _add_once(self, place: Place, name: str) -> None:
        if name not in self._seen:
            self._seen.add(name)
            self.pictures.add(place, name)

    def _add_path(self, path: str, kind: str) -> None:
        if kind == "folder":
            for picture in pictures_in(_plain(path), self.left_out):
                if self._is_one:  # no picture is there twice
                    self.pictures.add(self._files, picture)
                else:
                    self._add_once(self._files, picture)
        elif path.lower().endswith(_TAR):
            self._add_tar(TarOfPictures(Path(path)))
        else:
            _check_ending(path)
            self._add_once(self._files, _plain(path))

    def _add_matches(self, pattern: str) -> None:
        matches = matches_of(pattern)
        if matches == [pattern]:
            raise DataError(
                f"no such file or folder: {pattern}", "give it with:  `images` PICTURES"
            )
        ending = os.path.splitext(pattern)[1]  # noqa: PTH122  # paths are texts here
        for match in matches:
            kind = kind_at(match)
            is_asked = match.endswith((_TAR, ending)) if ending else match.endswith(_TAR)
            if not kind:
                raise DataError(f"no such file: {match}", f"given as:  {pattern}")
            if kind != "folder" and not (is_asked or is_picture(match)):
                self.left_out.add(match)
            else:
                self._add_path(match, kind)

    def _add_tar(self, tar: TarOfPictures, only: str = "") -> None:
        """Add the pictures of a tar, or all of its members that have one name."""
        if {tar.shown(""), tar.shown(only)} & self._seen:
            return
        self._seen.add(tar.shown(only))
        labels, found = TarLabels(tar), 0
        for member in tar.members():
            name = os.fsdecode(member.name)
            if name != only and labels.is_label(member):
                labels.add_label(member)
            elif not only or name == only:
                found += 1
                self._add_member(tar, name, member, labels, is_asked=bool(only))
        for number, label in labels.found():
            self.pictures.set_label(number, label)
        if not only:
            self.left_out.add_all(labels.left_out())
        elif not found:
            raise DataError(f"{tar.name} has no member {only}", f"see:  tar -tf {tar.name}")

    def _add_member(
        self, tar: TarOfPictures, name: str, member: Member, labels: TarLabels, is_asked: bool
    ) -> None:
        if not is_asked and (not is_picture(name) or _is_hidden(name)):
            self.left_out.add(tar.shown(name))
        elif member.no_file:
            place = Nothing(member.no_file, tar.shown(""))
            place = self._reasons.setdefault((tar.name, member.no_file), place)
            self.pictures.add(place, name)
        else:
            labels.add_picture(member, len(self.pictures))
            self.pictures.add(tar, name, member.offset, member.size_bytes)

    def _add_urls(self, source: str) -> None:
        for url in braces_filled(source):
            self._check_url(url)
            shown, path = without_credentials(url), urlsplit(url).path
            _check_ending(shown)
            if path.endswith("/") or not path:
                raise DataError(
                    f"{shown} is a folder behind a URL, whose pictures nobody tells",
                    "give the URLs of the pictures, or a list of them:  @URL or @FILE",
                )
            if "*" in path:
                raise DataError(
                    f"{shown}: patterns of names behind a URL are not filled in",
                    "give numbers as in {000..012}, or a list of URLs:  @FILE",
                )
            self._add_url(url)

    def _add_url(self, url: str) -> None:
        if found := _member_of_tar(url):
            self._add_tar_behind(*found)
        elif _scheme(url) == "file":
            path = urlsplit(url).path
            path = path if os.path.lexists(path) else unquote(path)
            self._add_path(path, kind_at(path) or "file")
        elif urlsplit(url).path.lower().endswith(_TAR):
            self._add_tar_behind(url)
        else:
            self._add_once(self._urls, url)

    def _check_url(self, url: str) -> None:
        """Refuse what is no storage; asks for nothing, and but once for each server."""
        try:
            urlsplit(url)
        except ValueError as error:
            raise ConfigError(f"{without_credentials(url)} is no URL: {error}") from error
        server = url[: url.find("/", url.find("://") + 3) + 1]
        if server not in self._servers or "::" in url:
            found = _member_of_tar(url)
            self._urls.files.open(found[0] if found else url)
            self._servers.add(server)

    def _add_tar_behind(self, url: str, only: str = "") -> None:
        most_bytes = int(self._cache.size_gb * 1e9) - self._fetched_bytes
        path = fetch_whole(url, self._cache.folder, self._cache.timeout_s, most_bytes)
        self._fetched_bytes += path.stat().st_size
        self._add_tar(TarOfPictures(path, without_credentials(url)), only)

    def _add_list_at(self, place: str) -> None:
        if not _is_url(place):
            self._add_list(_list_at(place), place, "")
            return
        name = without_credentials(place)
        try:
            data = self._lists.read(place)
        except StorageError:
            raise
        except DataError as error:
            raise DataError(f"no list of pictures at {name}: {error.message}") from error
        self._add_list(data, name, place)

    def _add_list(self, data: bytes, name: str, url: str) -> None:
        """Add what is in a list.

        Args:
            data: The list.
            name: What to call it.
            url: Where it lies, if it is none of this machine.
        """
        if len(data) > _MOST_LIST_BYTES:
            raise DataError(f"{name} is no list: it has more than {_MOST_LIST_BYTES:,} bytes")
        if not self._null and b"\0" in data:
            raise DataError(
                f"{name} has zero bytes in its lines",
                "where one ends each path:  `null` true",
                "where it is UTF-16: save it as UTF-8",
            )
        for line in _lines_of(data, self._null):
            if url or _is_url(line):
                self._add_listed_url(_joined(url, line), is_strange=bool(url))
            elif line.lower().endswith(_TAR) and kind_at(line) == "file":
                self._add_tar(TarOfPictures(Path(line)))
            elif found := _member_of_tar(line):
                self._add_tar(TarOfPictures(Path(found[0])), found[1])
            else:
                self._add_once(self._files, _plain(line))

    def _add_listed_url(self, url: str, is_strange: bool) -> None:
        """Add a URL of a list; `is_strange` if that list is none of this machine."""
        try:
            if is_strange and _scheme(url) == "file":
                raise ConfigError("a list behind a URL leads to no file of this machine")
            self._check_url(url)
        except ConfigError as error:
            self._add_once(Nothing(error.message), without_credentials(url))
        else:
            self._add_url(url)


def _plain(path: str) -> str:
    """Return a path without what means nothing, as `Path` has it, which takes longer to make."""
    return str(Path(path)) if _NOT_PLAIN.search(path) else path


def _is_url(text: str) -> bool:
    if not is_url(text) or os.path.lexists(text):
        return False
    found = _member_of_tar(text)
    return found is None or is_url(found[0])


def _joined(base: str, line: str) -> str:
    """Return what a line of a list means behind the URL of the list."""
    member = _MEMBER.fullmatch(line)
    # Or what is before the :: would be taken for the scheme of a URL.
    name, inside = (member[1], f"{BETWEEN}{member[2]}") if member else (line, "")
    try:
        return f"{urljoin(base, name)}{inside}"
    except ValueError:  # no URL, which is told where it is to be read
        return line


def _scheme(url: str) -> str:
    return url.partition(":")[0].lower()


def _member_of_tar(text: str) -> tuple[str, str] | None:
    """Return the tar and the member of `photos.tar::a.jpg`, as predictions call it."""
    found = _MEMBER.fullmatch(text)
    if found is None or os.path.lexists(text):
        return None
    tar, member = found.groups()
    return (tar, member) if is_url(tar) or kind_at(tar) == "file" else None


def _is_hidden(name: str) -> bool:
    """Tell whether a member of a tar lies in a hidden folder."""
    return any(part.startswith(".") and part not in (".", "..") for part in name.split("/"))


def _check_ending(name: str) -> None:
    """Refuse what is no picture by the ending of its name."""
    last = name.rpartition("/")[2]
    stem, ending = os.path.splitext(last)  # noqa: PTH122  # of a URL, too
    ending = ending.lower()
    if ending in LISTS:
        raise DataError(f"{name} is no picture", f"is it a list of pictures?  type  @{name}")
    if ending in _UNPACK:
        command = _UNPACK[ending].format(name=last if is_url(name) else name, stem=stem)
        result = command.rpartition("> ")[2] if ">" in command else "FOLDER"
        raise DataError(
            f"{name} is no picture but an archive",
            f"unpack it:      {command}",
            f"and then give:  {result}",
        )


def _list_at(path: str) -> bytes:
    if kind_at(path) not in ("file", "denied"):
        raise DataError(f"no list of pictures at {path}", "an @ stands before the name of a list")
    try:
        with os.fdopen(open_regular(Path(path)), "rb") as file:
            return file.read(_MOST_LIST_BYTES + 1)
    except OSError as error:
        raise storage_error(f"cannot read {path}", error) from error


def _lines_of(data: bytes, null: bool) -> Iterator[str]:
    for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\0" if null else b"\n"):
        text = line if null else line.removesuffix(b"\r")
        if text:
            yield os.fsdecode(text)


def _nothing_in(sources: Sequence[str], left_out: FirstFew) -> DataError:
    hints = [f"found:       {left_out}"] if left_out.count else []
    tars = [s for s in sources if Path(s).is_dir() and next(Path(s).glob(f"*{_TAR}"), None)]
    hints += [f"its tars:    places predict '{tars[0].rstrip('/')}/*{_TAR}'"] if tars else []
    where = ", ".join(map(without_credentials, sources)) or "nothing"
    return DataError(f"no pictures in {where}", *hints, "looked for:  .jpg, .png, .webp, ...")
