"""Says so, once and in one line, when the imported `bandit` is another project's package.

The security linter named bandit installs an import package of the same name. Where it sits in the
same environment, one hides or overwrites the other, and the error would otherwise surface as a
puzzling missing name far from its cause. `scanner_adapter/__init__.py` calls this before its first
import from `bandit`.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path


def check_bandit_is_ours() -> None:
    """Raise ImportError when `import bandit` would give a package that is not ours.

    Nothing is imported for the check, so that a broken foreign package cannot fail first.
    """
    spec = find_spec("bandit")
    folders = [] if spec is None else list(spec.submodule_search_locations or [])
    if any(_is_ours(Path(folder)) for folder in folders):
        return
    met = f"another one in {folders[0]}" if folders else "none"
    raise ImportError(
        f"scanrank needs its own package 'bandit', but Python finds {met}; the security linter "
        "bandit installs one of the same name: run 'pip uninstall bandit', then 'pip install "
        "--force-reinstall --no-deps scanrank', and keep the linter in a separate environment",
        name="bandit",
    )


def _is_ours(folder: Path) -> bool:
    # Installed into one folder, the two packages' files mix and the later __init__.py wins: a file
    # that only we have is not proof enough, the linter's first import is proof against.
    init = folder / "__init__.py"
    is_linter = init.is_file() and "bandit.core" in init.read_text(encoding="utf-8")
    return not is_linter and (folder / "stores" / "codec.py").is_file()
