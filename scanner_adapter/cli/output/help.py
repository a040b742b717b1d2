"""How `scanrank --help` reads: commands in the order of use, in panels; flags without a type."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

# Panels in the order in which a person needs them, each with its commands.
PANELS = {
    "First look": ("demo", "replay"),
    "Scan": ("scan", "watch", "serve"),
    "Judge and improve": ("compare", "symbol", "tune", "factors"),
    "Operate": ("doctor", "config", "store", "journal"),
}
# Shown under the options; each runs as it stands in tests/unit/scanner_adapter/cli/test_help.py.
EXAMPLES = {
    "demo": ("scanrank demo --quick",),
    "replay": (
        "scanrank replay",
        "scanrank replay --bars bars.parquet --ratings ratings.parquet --report pictures",
        "scanrank replay --until recall:0.95 --until symbols:200",
        "scanrank replay --bars bars.parquet --scanner breakout --every 1h --budget 20%",
    ),
    "scan": (
        "scanrank scan --bars bars.parquet --scanner breakout --as-of last --until-recall 0.95",
        "scanrank scan --bars bars.parquet --scanner my_scanner:rate --as-of 2019-12-31 --json",
    ),
    "watch": ("scanrank watch --once",),
    "serve": ("scanrank serve --port 8765",),
    "compare": ("scanrank compare --ruleset breakout",),
    "symbol": ("scanrank symbol NVDA",),
    "tune": ("scanrank tune --trials 20 --out settings.toml",),
    "factors": ("scanrank factors report --bars bars.parquet --ratings ratings.parquet",),
    "doctor": ("scanrank doctor", "scanrank doctor --bars bars.parquet"),
    "store": ("scanrank store stats",),
    "journal": ("scanrank journal export journal.parquet --ruleset breakout",),
}
_ORDER = [name for names in PANELS.values() for name in names]
_PANEL_OF = {name: panel for panel, names in PANELS.items() for name in names}


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
