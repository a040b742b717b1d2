"""How `scanrank --help` reads: commands in the order of use, in panels; flags without a type."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from typer.core import TyperGroup

_TEXT = tomllib.loads(Path(__file__).with_name("help.toml").read_text(encoding="utf-8"))
PANELS = {panel: tuple(commands) for panel, commands in _TEXT.items()}
# By command, in the order of use.
EXAMPLES = {name: examples for panel in _TEXT.values() for name, examples in panel.items()}
_PANEL_OF = {name: panel for panel, commands in PANELS.items() for name in commands}
_ORDER = list(EXAMPLES)


class Commands(TyperGroup):
    """A group of commands that are listed in the order of use."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names, those without a panel last."""
        found = super().list_commands(ctx)
        return sorted(found, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER))

    def get_command(self, ctx: Any, name: str) -> Any:
        """Return a command, prepared for its help."""
        command: Any = super().get_command(ctx, name)
        if command is not None:
            _as_flags(command, ctx)
            if ctx.parent is None:
                command.rich_help_panel = _PANEL_OF.get(name)
                # With an empty line between, or rich joins them to one paragraph.
                command.epilog = "\n\n".join(EXAMPLES.get(name, ())) or None
        return command

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help of the group itself."""
        _as_flags(self, ctx)
        super().format_help(ctx, formatter)


def _as_flags(command: Any, ctx: Any) -> None:
    """Show switches and counted options without a type: nothing is written after them."""
    for option in command.get_params(ctx):
        if getattr(option, "is_flag", False) or getattr(option, "count", False):
            option.metavar = ""
