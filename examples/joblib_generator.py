"""joblib: results as they arrive, with few symbols in advance."""

from joblib import Parallel, delayed
from made_market import HIT, LAST, SYMBOLS, rate, show

from scanrank import ResultFeed, SymbolRanker, Threshold


def scan_one(symbol: str, day: int) -> tuple[str, float]:
    return symbol, rate(symbol, day)


def main() -> None:
    ranker = SymbolRanker.open("memory://", ruleset="joblib", rewards=Threshold(HIT), seed=1)
    parallel = Parallel(n_jobs=2, return_as="generator_unordered")
    for day in range(LAST + 1):
        order = []
        with ResultFeed(ranker, batch_size=20) as feed:
            jobs = (delayed(scan_one)(symbol, day) for symbol in feed.stream(SYMBOLS))
            for symbol, rating in parallel(jobs):
                feed(symbol, rating)
                order.append(symbol)
    show(order)


if __name__ == "__main__":
    main()
