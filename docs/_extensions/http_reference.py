"""The directives `endpoints` and `metrics`: what the service answers, read from itself."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from docutils import nodes
from prometheus_client.parser import text_string_to_metric_families
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from bandit.stores import RulesetStats, store_from_url
from scanner_adapter.service.app import create_app
from scanner_adapter.service.metrics import Metrics
from scanner_adapter.service.settings import ServiceSettings


class Endpoints(SphinxDirective):
    """A list of the service's operations, from its OpenAPI description."""

    def run(self) -> list[nodes.Node]:
        """Return the list."""
        app = create_app(ServiceSettings("memory://"), store_from_url("memory://"))
        lines = []
        for path, operations in sorted(app.openapi()["paths"].items()):
            for method, operation in operations.items():
                lines += [f"`{method.upper()} {path}`", f": {_first_line(operation)}", ""]
        return self.parse_text_to_nodes("\n".join(lines))


class MetricsList(SphinxDirective):
    """A list of what `/metrics` tells."""

    def run(self) -> list[nodes.Node]:
        """Return the list."""
        metrics = Metrics(SimpleNamespace(away_since=None, n_outages=0))  # type: ignore[arg-type]
        labels = {
            collector._name: collector._labelnames
            for collector in vars(metrics).values()
            if hasattr(collector, "_labelnames")
        }
        stats = RulesetStats(0, "0-0", 0, 0, "0-0", 0, 0, "0-0")
        lines = []
        for family in text_string_to_metric_families(metrics.text([("any", stats)]).decode()):
            sample = family.samples[0].labels if family.samples else {}
            names = ", ".join(labels.get(family.name) or sample)
            full = f"{family.name}_total" if family.type == "counter" else family.name
            full += f"{{{names}}}" if names else ""
            lines += [f"`{full}`", f": {family.documentation} A {family.type}.", ""]
        return self.parse_text_to_nodes("\n".join(lines))


def _first_line(operation: dict[str, Any]) -> str:
    text = operation.get("description") or operation.get("summary") or ""
    return str(text).split("\n\n")[0].replace("\n", " ")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives."""
    app.add_directive("endpoints", Endpoints)
    app.add_directive("metrics", MetricsList)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
