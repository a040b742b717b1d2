"""Run what a Markdown page shows, and compare what it prints with what the page says it prints.

The blocks of a page run in their order:

- a `python` block whose first line is a comment with a file name (`# scanner.py`) is saved there;
- any other `python` block runs, in one namespace per page;
- a `sh` block runs line by line; `python` and `scanrank` are those of this interpreter, and lines
  that install something are passed over;
- a `text` block right after one of these is what it prints; `...` stands for anything.

As a program, with the standard library only, so that any environment can try a page:

    python tests/pages.py docs/tutorial.md            run it in a new folder, compare
    python tests/pages.py docs/tutorial.md --write    and put what it printed into the page
"""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$\n?", re.DOTALL | re.MULTILINE)
_FILE = re.compile(r"# ([\w/]+\.\w+)\n")
_INSTALLS = ("pip ", "python3 -m venv", ". .venv", "make ", "git ")


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Parameters
    ----------
    language, code : str
    shown : str or None
        What the page says that it prints.
    line : int
        Of the page, where its code begins.
    """

    language: str
    code: str
    shown: str | None
    line: int

    @property
    def file_name(self) -> str | None:
        """The file that the block is to be saved as, if it is one."""
        named = _FILE.match(self.code) if self.language == "python" else None
        return named[1] if named else None


def blocks(text: str, *languages: str) -> list[Block]:
    """Return the fenced blocks of a page in these languages (all of them by default)."""
    found = list(_BLOCK.finditer(text))
    result = []
    for match, after in zip_longest(found, found[1:]):
        if languages and match[1] not in languages:
            continue
        is_output = (
            match[1] != "text"
            and after
            and after[1] == "text"
            and not text[match.end() : after.start()].strip()
        )
        line = text.count("\n", 0, match.start(2)) + 1
        result.append(Block(match[1], match[2], after[2] if is_output else None, line))
    return result


class Page:
    """A page that is being run in the present folder.

    Parameters
    ----------
    path : Path
    namespace : dict, optional
        What the page's Python may take for granted.
    """

    def __init__(self, path: Path, namespace: dict[str, Any] | None = None) -> None:
        self.path = path
        self.text = path.read_text(encoding="utf-8")
        self._namespace: dict[str, Any] = {"__name__": "__page__", **(namespace or {})}

    def run(self, *languages: str) -> Iterator[tuple[Block, str]]:
        """Run block after block, of these languages only; yield each with what it printed.

        Raises
        ------
        RuntimeError
            When a command fails, with what it said. What Python raises comes as it is.
        """
        for block in blocks(self.text, *(languages or ("python", "sh"))):
            if block.file_name is not None:
                file = Path(block.file_name)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(block.code, encoding="utf-8")
            elif block.language == "sh":
                yield block, "".join(map(_run, _commands(block.code)))
            else:
                printed = io.StringIO()
                # Filled up with empty lines, so that a traceback names the line of the page.
                code = compile("\n" * (block.line - 1) + block.code, str(self.path), "exec")
                with contextlib.redirect_stdout(printed):
                    exec(code, self._namespace)  # noqa: S102 - the page is our own
                yield block, printed.getvalue()

    def differences(self, *languages: str) -> list[str]:
        """Run the page; return what printed something else than the page says."""
        return [
            f"{self.path}:{block.line} printed\n{printed}\nand the page says\n{block.shown}"
            for block, printed in self.run(*languages)
            if block.shown is not None
            and not doctest.OutputChecker().check_output(block.shown, printed, FLAGS)
        ]

    def rewritten(self) -> str:
        """Run the page; return its text with what it printed, where that differs."""
        text = self.text
        for block, printed in self.run():
            if block.shown is not None and not doctest.OutputChecker().check_output(
                block.shown, printed, FLAGS
            ):
                text = text.replace(f"```text\n{block.shown}```", f"```text\n{printed}```", 1)
        return text


def _commands(code: str) -> Iterator[str]:
    for line in code.replace("\\\n", " ").replace("$PWD", str(Path.cwd())).splitlines():
        command = line.partition("  #")[0].strip()
        if command and not command.startswith(_INSTALLS):
            yield command


def _run(command: str) -> str:
    words = shlex.split(command)
    programs = {
        "python": [sys.executable],
        "scanrank": [sys.executable, "-m", "scanrank"],
    }
    if words[0] not in programs:
        raise RuntimeError(f"{command!r}: a page may run {', '.join(programs)}")
    # As wide as a page, and without the colours of a terminal.
    environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
    done = subprocess.run(
        [*programs[words[0]], *words[1:]],
        capture_output=True, text=True, env=environment, timeout=300, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(f"{command!r} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def main(arguments: list[str]) -> int:
    """Try a page in a new folder; see the module's text."""
    page = Page(Path(arguments[0]).resolve())
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        if "--write" in arguments:
            page.path.write_text(page.rewritten(), encoding="utf-8")
            return 0
        differences = page.differences()
    print("\n\n".join(differences) or f"{page.path}: does and prints what it says")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
