"""What `/metrics` reports: requests, refusals by reason, event streams, the store, the rulesets."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

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
        self._access = access
        self.registry = CollectorRegistry()
        counter = partial(Counter, registry=self.registry)
        histogram = partial(Histogram, registry=self.registry)
        self.requests = counter(
            "scanrank_http_requests", "Requests answered.", ("route", "method", "status")
        )
        self.seconds = histogram(
            "scanrank_http_request_seconds", "Response time, without streams.", ("route",),
            buckets=_REQUEST_S,
        )  # fmt: skip
        self.refusals = counter(
            "scanrank_refusals", "Requests refused, by reason.",
            ("reason",),
        )  # fmt: skip
        self.event_clients = Gauge(
            "scanrank_event_clients", "Open event streams.", registry=self.registry
        )
        self.event_delay = histogram(
            "scanrank_event_delay_seconds",
            "Delay from publishing in the store to delivery to listeners.", buckets=_DELAY_S,
        )  # fmt: skip
        self.started = counter("scanrank_scans_started", "Scans started over HTTP.", ("scanner",))
        self.exits = counter(
            "scanrank_scan_exits", "Scans started over HTTP that have ended.", ("scanner", "code")
        )

    def text(self, rulesets: Sequence[tuple[str, RulesetStats]] | None) -> bytes:
        """Return everything in Prometheus' text format, with the sizes of `rulesets`.

        None: the store is away or refuses.
        """
        scrape, rows = CollectorRegistry(), rulesets or ()  # of what is true now
        away = self._access.away_since
        up = Gauge("scanrank_store_up", "Whether the store answers the service.", registry=scrape)
        up.set(rulesets is not None)
        Gauge(
            "scanrank_store_away_seconds", "Time since the store last answered.", registry=scrape
        ).set(0.0 if away is None else time.time() - away)
        outages = Counter(
            "scanrank_store_outages", "Times the store became unreachable.", registry=scrape
        )
        outages.inc(self._access.n_outages)
        for name, text, value in (
            ("journal_entries", "Entries of the journal.", lambda s: s.n_entries),
            ("journal_bytes", "Memory of the journal.", lambda s: s.journal_bytes),
            ("snapshot_bytes", "Size of the snapshot.", lambda s: s.snapshot_bytes),
            ("snapshots", "Snapshots written, one per scan.", lambda s: s.snapshot_version),
            ("scans", "Scans in the store.", lambda s: s.n_scans),
            ("written_seconds", "Time of the last entry.", lambda s: seconds_of(s.last_position)),
        ):
            gauge = Gauge(f"scanrank_ruleset_{name}", text, ("ruleset",), registry=scrape)
            for ruleset, stats in rows:
                gauge.labels(ruleset).set(value(stats))
        return generate_latest(self.registry) + generate_latest(scrape)
