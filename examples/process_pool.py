"""A process pool with your own loop: `feed.map` keeps only as many symbols in flight as needed."""

from concurrent.futures import ProcessPoolExecutor
from functools import partial

from made_market import HIT, LAST, SYMBOLS, rate, show

from scanrank import ResultFeed, SymbolRanker, Threshold


def main() -> None:
    ranker = SymbolRanker.open("memory://", ruleset="processes", rewards=Threshold(HIT), seed=1)
    with ProcessPoolExecutor(2) as pool:
        for day in range(LAST + 1):
            with ResultFeed(ranker, batch_size=20) as feed:
                results = dict(feed.map(partial(rate, day=day), pool, SYMBOLS))
    show(results)


if __name__ == "__main__":
    main()
