#!/bin/sh
# Rewrites constraints.txt from a clean virtual environment: every dependency of `.[dev]` and of the build, resolved anew.
# Then constraints-hashed.txt: the same versions with the SHA-256 of every file that the index has of them, for all
# platforms and Pythons, as `pip install --require-hashes` wants it.
# Usage: tools/update_constraints.sh [PYTHON]
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
printf '%s\n' hatchling editables >"$work/build.in"
"${1:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check '.[dev]' -r "$work/build.in"
{
    echo "# Pinned versions for development and CI, transitive ones included. Written by 'make constraints'; every line is"
    echo "# what a clean virtual environment resolved to on the day of the last update. Users of the wheel are not bound by it."
    "$work/venv/bin/python" -m pip freeze --exclude scanrank --disable-pip-version-check 2>/dev/null
} >"$work/constraints.txt"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check uv
{
    echo "# constraints.txt with the hashes of all files, written by 'make constraints' for 'pip install --require-hashes'."
    "$work/venv/bin/uv" pip compile --quiet --universal --python-version 3.11.5 --generate-hashes --no-header --no-annotate \
        --no-emit-index-url --no-emit-find-links --no-strip-extras --extra dev --constraint "$work/constraints.txt" pyproject.toml "$work/build.in"
} >"$work/constraints-hashed.txt"
mv "$work/constraints.txt" "$work/constraints-hashed.txt" .
