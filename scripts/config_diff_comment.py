"""Put what `places config diff` found into the one comment below a pull request that is for it.

    python3 scripts/config_diff_comment.py FOLDER

FOLDER holds `number` and `config-diff.md`, as a job wrote them that ran the code of the pull
request: they may be anything. The number must be that of an open pull request with the commit
HEAD_SHA, which GitHub told. Of the text nothing becomes a mention, a picture or a link.
"""

import json
import os
import re
import stat
import sys
import urllib.request
from pathlib import Path
from typing import Any

MARKER = "<!-- places-config-diff -->"
_MAX_BYTES = 200_000
_MAX_LETTERS = 65_000  # GitHub takes 65,536
_BOT = "github-actions[bot]"
_TAGS = ("<details>", "</details>", "<summary>", "</summary>")
_API = os.environ.get("GITHUB_API_URL", "https://api.github.com")


def main(folder: Path) -> int:
    """Write the comment, or say why not."""
    number = read_small(folder / "number").strip()
    if not re.fullmatch(r"[1-9][0-9]{0,8}", number):
        sys.exit("the artifact names no pull request")
    text = harmless(read_small(folder / "config-diff.md"))
    pulls = f"/repos/{os.environ['GITHUB_REPOSITORY']}"
    pull = ask("GET", f"{pulls}/pulls/{number}")
    if pull["head"]["sha"] != os.environ["HEAD_SHA"] or pull["state"] != "open":
        print(f"pull request {number} is not at that commit any more: nothing is written")
        return 0
    body = {"body": text}
    for comment in comments(f"{pulls}/issues/{number}/comments"):
        if comment["user"]["login"] == _BOT and comment["body"].startswith(MARKER):
            ask("PATCH", f"{pulls}/issues/comments/{comment['id']}", body)
            return 0
    ask("POST", f"{pulls}/issues/{number}/comments", body)
    return 0


def read_small(path: Path) -> str:
    """Return the text of a file that is one, and not large."""
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode) or found.st_size > _MAX_BYTES:
        sys.exit(f"{path.name} is no small file")
    return path.read_text(encoding="utf-8", errors="replace")


def harmless(text: str) -> str:
    """Return a text in which nothing calls people, shows pictures, leads elsewhere or hides."""
    if not text.startswith(MARKER):
        sys.exit("config-diff.md was not written by places config diff")
    text = "".join(c for c in text.removeprefix(MARKER) if c == "\n" or c.isprintable())
    parts = re.split(f"({'|'.join(map(re.escape, _TAGS))})", text)
    text = "".join(part if part in _TAGS else part.replace("<", "&lt;") for part in parts)
    text = re.sub(r"@(?=\w)", "@\u200b", text)  # within code, too, where it changes no word
    text = re.sub(r"\](?=[(\[:])", "]\u200b", text)
    text = re.sub(r"(?i)\b(https?|www)(?=[:.])", "\\1\u200b", text)
    return f"{MARKER}{text[:_MAX_LETTERS]}"


def comments(path: str) -> list[dict[str, Any]]:
    """Return all comments below a pull request."""
    found: list[dict[str, Any]] = []
    for page in range(1, 31):
        part = ask("GET", f"{path}?per_page=100&page={page}")
        found += part
        if len(part) < 100:
            break
    return found


def ask(method: str, path: str, body: object = None) -> Any:  # noqa: ANN401  # any JSON
    """Return what GitHub answers."""
    request = urllib.request.Request(
        f"{_API}{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {os.environ['GITHUB_TOKEN']}",
            "Content-Type": "application/json",
        },
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
