#!/bin/sh
# Refuse an environment that another checkout has installed itself into, unless it is asked for.
# usage: scripts/owner.sh PYTHON VENV TAKE_OVER      from the repository root; make calls it
set -eu
python=$1 venv=$2 take_over=$3

[ -x "$venv/bin/python" ] || exit 0
# pip notes from where it installed.
owner=$("$venv/bin/python" - <<'END'
import importlib.metadata, json, urllib.parse, urllib.request
try:
    text = importlib.metadata.distribution("places").read_text("direct_url.json")
    url = urllib.parse.urlparse(json.loads(text or "{}").get("url", ""))
except (importlib.metadata.PackageNotFoundError, ValueError):
    url = urllib.parse.urlparse("")
print(urllib.request.url2pathname(url.path) if url.scheme == "file" else "")
END
)
here=$(pwd -P)
[ -n "$owner" ] || exit 0
[ "$(cd "$owner" 2>/dev/null && pwd -P)" != "$here" ] || exit 0
if [ -d "$owner" ] && [ -z "$take_over" ]; then
    printf 'places: error: %s is the environment of %s\n' "$venv" "$owner" >&2
    printf '  one of its own:  make install VENV=%s/.venv\n' "$here" >&2
    printf '  take it over:    make install TAKE_OVER=yes\n' >&2
    exit 2
fi
sh scripts/install.sh "$python" "$venv" # the other one has gone, or gives it away
touch "$venv/installed"
