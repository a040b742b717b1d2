#!/bin/sh
# Resolves the core and the `api` extra from wheels alone, for every platform and Python that is promised: what has no
# wheel somewhere would have to be compiled by its user. Nothing is installed, and nothing of the target needs to be here.
# Usage: tools/check_wheels.sh [PYTHON]
set -eu
cd "$(dirname "$0")/.."
python=${1:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" - >"$work/requirements.txt" <<'END'
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
print("\n".join([*project["dependencies"], *project["optional-dependencies"]["api"]]))
END
failed=0
resolve() {  # resolve NAME VERSION PLATFORM...
    name=$1 version=$2
    shift 2
    tags=""
    for platform in "$@"; do tags="$tags --platform $platform"; done
    # shellcheck disable=SC2086
    if "$python" -m pip install --quiet --disable-pip-version-check --dry-run --ignore-installed --target "$work/target" \
        --only-binary=:all: --implementation cp --python-version "$version" $tags -r "$work/requirements.txt" \
        >"$work/log" 2>&1; then
        echo "$name, Python $version: wheels for everything"
    else
        echo "$name, Python $version: $(grep -m 1 ERROR "$work/log" || tail -1 "$work/log")" >&2
        failed=1
    fi
}
for version in 3.11 3.12 3.13 3.14; do
    resolve "Linux x86_64" $version manylinux2014_x86_64 manylinux_2_17_x86_64 manylinux_2_28_x86_64
    resolve "Linux aarch64" $version manylinux2014_aarch64 manylinux_2_17_aarch64 manylinux_2_28_aarch64
    resolve "macOS arm64" $version macosx_11_0_arm64 macosx_12_0_arm64 macosx_14_0_arm64
    resolve "macOS x86_64" $version macosx_10_9_x86_64 macosx_10_13_x86_64 macosx_11_0_x86_64 macosx_12_0_x86_64 macosx_14_0_x86_64
    resolve "Windows" $version win_amd64
done
exit $failed
