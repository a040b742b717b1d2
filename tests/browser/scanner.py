"""A scanner process that the browser tests watch: `python scanner.py STORE RULESET SCAN N`.

It reads orders from its standard input: a line `5` = five batches, `run` = until the end or until
somebody stops it, `requests` = print what operators asked for; the end of the input closes the
scan. Every line is answered by one on the standard output: the number of symbols scanned so far,
or the requests.
"""

from __future__ import annotations

import logging
import sys
import time

import numpy as np
import pandas as pd

from scanner_adapter import Outcome, SymbolRanker

BATCH = 10
PAUSE_S = 0.05  # of a batch: slow enough to be watched, and stopped in the middle

# Names that a page could take for markup, a path, or the end of one; all of them are high-value.
HOSTILE = (
    '<img src=x onerror="window.hacked=1">',
    "<script>window.hacked=1</script>",
    "BRK/B",
    "../../login?a=b&c#d",
    "W" * 64,
)


def universe(n: int) -> tuple[list[str], np.ndarray]:
    """Return names and ratings (0 to 100) of the same market every time."""
    ratings = np.random.default_rng(7).uniform(0, 95, n)
    names = [f"SYM{i}" for i in range(n)]
    names[: len(HOSTILE)] = HOSTILE
    ratings[: len(HOSTILE)] = 97.0
    return names, ratings


def warm_up() -> None:
    """Scan a little on the side: what a process does for the first time takes it far longer, and
    a queue that took long to draw up is drawn up again only after a minute."""
    names = [f"W{i}" for i in range(40)]
    context = pd.DataFrame({"market.worth": np.arange(40.0)}, names)
    ranker = SymbolRanker.open("memory://", ruleset="warm-up")
    with ranker.start_scan(names, context=context) as scan:
        while batch := scan.next_batch(BATCH):
            scan.report(dict.fromkeys(batch, 1.0))
            time.sleep(0.02)
    ranker.close()


def main(store: str, ruleset: str, scan_id: str, n: str) -> None:
    names, ratings = universe(int(n))
    noise = np.random.default_rng(8).normal(0, 12, len(names))
    context = pd.DataFrame(
        {
            "historical.last_reward": np.clip(ratings + noise, 0, 100),
            "market.volume_surge": np.clip(ratings - noise, 0, 100),
            "fundamental.news": noise % 100,
            "technical.distance": 100 - ratings,
        },
        names,
    )
    warm_up()
    rating = dict(zip(names, ratings, strict=True))
    ranker = SymbolRanker.open(store, ruleset=ruleset, seed=1)
    with ranker.start_scan(names, context=context, scan_id=scan_id) as scan:
        print(0, flush=True)
        for line in sys.stdin:
            order = line.strip()
            if order == "requests":
                link = scan._operators.link
                print(link.control if link is not None else None, flush=True)
                continue
            left = len(names) if order == "run" else int(order)
            while left > 0 and (batch := scan.next_batch(BATCH)):
                time.sleep(PAUSE_S)
                scan.report({s: Outcome(rating=rating[s], signal="Long") for s in batch})
                left -= 1
            print(scan.n_scanned, flush=True)
    print(scan.summary.stopped, flush=True)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    main(*sys.argv[1:])
