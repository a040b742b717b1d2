"""How names in docstrings and annotations become links.

- A name between single backticks is a link where this site documents it, and code elsewhere:
  docstrings put parameters, attributes, modules and values alike between them.
- A name in an annotation is a link where it is documented; one without its module (imported for
  type checking only) is found by its last part, if exactly one documented name ends in it. Names
  of other projects and of internals stay without a link: mypy checks annotations already, and the
  other projects' indexes would have to be fetched.
- Every name in a public package's `__all__` must be documented.
- Signatures are shortened: arrays stand as in the code, and a class that is made by something
  else shows no constructor.
"""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.roles import XRefRole
from sphinx.util import logging
from sphinx.util.nodes import make_refnode

log = logging.getLogger(__name__)

_MAY_BE_CODE = "may_be_code"
_OURS = ("bandit.", "features.", "scanner_adapter.")
_ARRAY = re.compile(
    r"~numpy\.ndarray\[tuple\[~typing\.Any, \.\.\.\], ~numpy\.dtype\[([^\[\]]+)\]\]"
)


class Backtick(XRefRole):
    """Like `py:obj`, and content with plain code."""

    def process_link(
        self,
        env: BuildEnvironment,
        refnode: nodes.Element,
        has_explicit_title: bool,  # noqa: ARG002
        title: str,
        target: str,
    ) -> tuple[str, str]:
        """Mark the reference, and tell the Python domain where it stands."""
        refnode["refdomain"], refnode["reftype"] = "py", "obj"
        refnode["py:module"] = env.ref_context.get("py:module")
        refnode["py:class"] = env.ref_context.get("py:class")
        refnode[_MAY_BE_CODE] = True
        return title, target.removesuffix("()")


def _resolve(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.TextElement
) -> nodes.Element | None:
    if node.get("refdomain") != "py":
        return None
    # What a page refers to on purpose was made by a role, and stays a warning when it is missing.
    is_annotation = "refwarn" not in node
    may_be_code = bool(node.get(_MAY_BE_CODE))
    if not is_annotation and not may_be_code:
        return None
    target = str(node["reftarget"])
    if is_annotation == ("." not in target):
        # A function's name where it is defined, and not where it is documented: by its last part.
        last = target.rpartition(".")[2]
        objects = env.domains.python_domain.objects
        found = {of.node_id: of for name, of in objects.items() if name.endswith(f".{last}")}
        if len(found) == 1 and (is_annotation or target.startswith(_OURS)):
            [entry] = found.values()
            return make_refnode(
                app.builder, node["refdoc"], entry.docname, entry.node_id, content, target
            )
    return content


def _qualify(app: Sphinx, doctree: nodes.document) -> None:
    """Name the package of a public name: it is known there and where it is defined."""
    public = {
        name: f"{package}.{name}"
        for package in app.config.documented_packages
        for name in import_module(package).__all__
    }
    for node in doctree.findall(pending_xref):
        if node.get("refdomain") == "py" and node["reftarget"] in public:
            node["reftarget"] = public[node["reftarget"]]


def _simplify(
    app: Sphinx, what: str, name: str, _object: object, _options: object,
    signature: str | None, result: str | None,
) -> tuple[str | None, str | None]:  # fmt: skip
    if what == "class" and name in app.config.made_by_others:
        return "", ""
    return _shorten(signature), _shorten(result)


def _shorten(signature: str | None) -> str | None:
    """Write arrays as the code does, and defaults so that they can be read as Python."""
    if signature is None:
        return None
    return _ARRAY.sub(r"~numpy.typing.NDArray[\1]", signature).replace("<factory>", "...")


def _check_completeness(app: Sphinx, env: BuildEnvironment) -> None:
    documented = env.domains.python_domain.objects
    for package in app.config.documented_packages:
        module = import_module(package)
        for name in module.__all__:
            where = getattr(getattr(module, name), "__module__", package)
            if f"{package}.{name}" not in documented and f"{where}.{name}" not in documented:
                log.warning("%s.%s is public and not documented", package, name)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the role and the hooks."""
    app.add_config_value("documented_packages", [], "env")
    app.add_config_value("made_by_others", frozenset(), "env")
    app.add_role("backtick", Backtick())
    app.connect("doctree-read", _qualify)
    app.connect("missing-reference", _resolve, priority=900)
    app.connect("autodoc-process-signature", _simplify)
    app.connect("env-check-consistency", _check_completeness)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
