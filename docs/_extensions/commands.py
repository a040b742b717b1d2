"""The directive `commands`: the command line's reference, read from the program itself.

    ```{commands} scanner_adapter.cli.app:app
    ```

One section per command with its help, its usage line, its arguments and its options.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import typer
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

_QUOTED = re.compile(r"(?<!\w)'([^'\s]+)'")  # 'signal', and not a possessive


class Commands(SphinxDirective):
    """Describe every command of a typer application."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return a section per command."""
        module, _, name = self.arguments[0].partition(":")
        group = typer.main.get_command(getattr(import_module(module), name))
        lines = [line for command in _leaves(group, "scanrank") for line in _describe(*command)]
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


def _leaves(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield (name, command) of everything that can be run, in the order of its help."""
    children = getattr(command, "commands", None)
    if children is None:
        yield name, command
        return
    for child_name, child in children.items():
        yield from _leaves(child, f"{name} {child_name}")


def _describe(name: str, command: Any) -> Iterator[str]:
    shown = [parameter for parameter in command.params if not getattr(parameter, "hidden", False)]
    arguments = [parameter for parameter in shown if parameter.param_type_name == "argument"]
    options = [parameter for parameter in shown if parameter.param_type_name == "option"]
    needed = [option for option in options if option.required]
    usage = [name, *(_spelling(option) for option in needed)]
    usage += ["[OPTIONS]"] if len(needed) < len(options) else []
    usage += [_value(argument) for argument in arguments]
    yield f"## {name}"
    yield ""
    yield (command.help or "").strip()
    yield ""
    yield from ("```text", " ".join(usage), "```", "")
    for parameter in (*arguments, *options):
        spelling = _value(parameter) if parameter in arguments else _spelling(parameter)
        yield f"`{spelling}`"
        yield f": {_meaning(parameter)}"
        yield ""


def _spelling(option: Any) -> str:
    names = "/".join((*option.opts, *option.secondary_opts))
    return names if option.is_flag else f"{names} {_value(option)}"


def _value(parameter: Any) -> str:
    return str(parameter.metavar or parameter.type.name.upper())


def _meaning(parameter: Any) -> str:
    """Return the help text, with what is required and what is the default."""
    text = _QUOTED.sub(r"`\1`", (getattr(parameter, "help", None) or "").strip())
    text = text or parameter.name.replace("_", " ").capitalize() + "."
    if parameter.required and parameter.param_type_name == "option":
        return f"{text} Required."
    if parameter.envvar:
        text = f"{text} Also the environment variable `{parameter.envvar}`."
    default = parameter.default
    is_worth_saying = default not in (None, False, True) and not callable(default)
    return f"{text} Default: `{default}`." if is_worth_saying else text


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("commands", Commands)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
