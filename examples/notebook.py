# %% [markdown]
# In a notebook: cells that can be interrupted and run again in any order.

# %%
from made_market import HIT, LAST, SYMBOLS, rate, show

from scanrank import SymbolRanker, Threshold

ranker = SymbolRanker.open("memory://", ruleset="notebook", rewards=Threshold(HIT), seed=1)

# %% One scan a day; running the cell again starts a new one
for day in range(LAST + 1):
    order: list[str] = []
    scan = ranker.start_scan(SYMBOLS)
    summary = scan.run(
        lambda symbol: rate(symbol, day, 0.0),  # noqa: B023
        on_result=lambda symbol, _: order.append(symbol),  # noqa: B023
    )

# %% The hits, and why the first symbol came first
print(f"{summary.n_hits:.0f} hits in {summary.n_scanned} symbols")
print({factor: round(part.learned, 2) for factor, part in scan.explain(order[0]).groups.items()})
show(order)
