#!/bin/sh
# Write requirements.txt anew: the newest releases that pyproject.toml admits, as pip resolves them.
# usage: scripts/requirements.sh [PYTHON]      from the repository root, on Linux x86-64
set -eu
export LC_ALL=C # comm needs the order that sort gives
python=${1:-python3}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$python" -m venv "$scratch/venv"
pip() { "$scratch/venv/bin/python" -m pip --disable-pip-version-check "$@"; }
# setuptools is named by --all: PyTorch needs it at run time. A local part (+cpu) is no release.
pinned() { pip freeze --all --exclude pip --exclude wheel --exclude places | sed 's/+.*//' | sort; }

pip install --quiet --upgrade pip # older ones do not know --group
pip install '.[wandb,s3]'
pinned > "$scratch/runtime"
# The tools come as they suit the runtime, not the other way round.
pip install --constraint "$scratch/runtime" --group dev --group docs hatchling editables
pinned > "$scratch/all"

changed=$(comm -23 "$scratch/runtime" "$scratch/all")
if [ -n "$changed" ]; then
    printf 'the development tools need other releases than: %s\n' "$changed" >&2
    exit 1
fi
{
    cat <<'END'
# The environment of this project, each package at one release. Made by scripts/requirements.sh.
# For Linux x86-64 with Python 3.11 to 3.13. The Dockerfile installs the part before "development".
# Without hashes: several wheels of PyTorch carry the same release (CPU, CUDA, rebuilt by a site),
# and the hash of one would refuse the others. Without index addresses: pip's own settings decide.

# runtime
END
    cat "$scratch/runtime"
    printf '\n# development\n'
    comm -13 "$scratch/runtime" "$scratch/all"
} > requirements.txt.new
mv requirements.txt.new requirements.txt
