#!/bin/sh
# Rewrites constraints.txt from a clean virtual environment: every dependency of `.[dev]` and of the build, resolved anew.
# Usage: tools/update_constraints.sh [PYTHON]
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${1:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check '.[dev]' hatchling editables
{
    echo "# Pinned versions for development and CI, transitive ones included. Written by 'make constraints'; every line is"
    echo "# what a clean virtual environment resolved to on the day of the last update. Users of the wheel are not bound by it."
    "$work/venv/bin/python" -m pip freeze --exclude scanrank --disable-pip-version-check 2>/dev/null
} >"$work/constraints.txt"
mv "$work/constraints.txt" constraints.txt
