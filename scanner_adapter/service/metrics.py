"""What `/metrics` reports: requests, refusals by reason, event streams, the store, the rulesets."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from bandit.stores import RulesetStats
from scanner_adapter.service.notes import seconds_of
from scanner_adapter.service.store_access import StoreAccess

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# Else every counter comes twice: with its value, and with the time of its first use.
disable_created_metrics()  # type: ignore[no-untyped-call]

_REQUEST_S = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5)
_DELAY_S = (0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    """Counters of one server, in a registry of its own."""

    def __init__(self, access: StoreAccess) -> None:
        self.registry = CollectorRegistry()
        own = self.registry
        self.requests = Counter(
            "scanrank_http_requests",
            "Requests answered.",
            ("route", "method", "status"),
            registry=own,
        )
        self.seconds = Histogram(
            "scanrank_http_request_seconds", "Time to answer; streams are left out.", ("route",),
            buckets=_REQUEST_S, registry=own,
        )  # fmt: skip
        self.refusals = Counter(
            "scanrank_refusals", "Requests refused, by the reason that the answer names.",
            ("reason",), registry=own,
        )  # fmt: skip
        self.event_clients = Gauge("scanrank_event_clients", "Open event streams.", registry=own)
        self.event_delay = Histogram(
            "scanrank_event_delay_seconds",
            "From publishing in the store to the hand-over to the listeners.",
            buckets=_DELAY_S, registry=own,
        )  # fmt: skip
        self.started = Counter(
            "scanrank_scans_started", "Scans started over HTTP.", ("scanner",), registry=own
        )
        self.exits = Counter(
            "scanrank_scan_exits",
            "Ends of scans started over HTTP.",
            ("scanner", "code"),
            registry=own,
        )
        self.registry.register(_StoreCollector(access))

    def text(self, rulesets: Iterable[tuple[str, RulesetStats]]) -> bytes:
        """Return everything in Prometheus' text format, with the sizes of `rulesets`."""
        return generate_latest(self.registry) + generate_latest(_Rulesets(rulesets))


class _StoreCollector:
    def __init__(self, access: StoreAccess) -> None:
        self._access = access

    def collect(self) -> Iterator[Metric]:
        away = self._access.away_since
        yield GaugeMetricFamily(
            "scanrank_store_up", "Whether the store answers.", float(away is None)
        )
        yield GaugeMetricFamily(
            "scanrank_store_away_seconds", "For how long it has not answered.",
            0.0 if away is None else time.time() - away,
        )  # fmt: skip
        yield CounterMetricFamily(
            "scanrank_store_outages", "Times it went away.", self._access.n_outages
        )


class _Rulesets(CollectorRegistry):
    """A registry for one scrape: what was just read from the store."""

    def __init__(self, rulesets: Iterable[tuple[str, RulesetStats]]) -> None:
        super().__init__()
        rows = list(rulesets)
        for name, text, value in (
            ("journal_entries", "Entries of the journal.", lambda s: s.n_entries),
            ("journal_bytes", "Memory of the journal.", lambda s: s.journal_bytes),
            ("snapshot_bytes", "Memory of the snapshot.", lambda s: s.snapshot_bytes),
            ("snapshots", "Snapshots written, one per scan.", lambda s: s.snapshot_version),
            ("scans", "Scans that the store remembers.", lambda s: s.n_scans),
            ("written_seconds", "Time of the last entry.", lambda s: seconds_of(s.last_position)),
        ):
            gauge = Gauge(f"scanrank_ruleset_{name}", text, ("ruleset",), registry=self)
            for ruleset, stats in rows:
                gauge.labels(ruleset).set(value(stats))
