#!/bin/sh
# Make a virtual environment, install the pinned packages and `places` itself (editable) into it.
# usage: scripts/install.sh [PYTHON [VENV]]      from the repository root
set -eu
python=${1:-python3}
venv=${2:-.venv}

refuse() {
    printf 'places: error: %s\n' "$1" >&2
    [ $# -lt 2 ] || printf '  %s\n' "$2" >&2
    exit 2
}

command -v "$python" >/dev/null ||
    refuse "no command $python" "name your Python 3.11 or newer:  make install PYTHON=python3.12"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    refuse "places needs Python 3.11 or newer, $python is $("$python" --version 2>&1)" \
        "name another one:  make install PYTHON=python3.12"
"$python" -c 'import ensurepip, venv' 2>/dev/null ||
    refuse "$python cannot make virtual environments: its module venv or ensurepip is missing" \
        "on Debian or Ubuntu:  apt-get install python3-venv"

[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
pip() { "$venv/bin/python" -m pip --disable-pip-version-check install "$@"; }
echo "Installing into $venv. The first time this fetches several gigabytes (PyTorch)."
pip --requirement requirements.txt
pip --no-build-isolation --no-deps --editable .
