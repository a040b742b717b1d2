"""A batch of a scan that several workers share: what is promising and nobody else holds."""

from __future__ import annotations

import numpy as np

from bandit.choice.draw import Choice
from scanner_adapter.ledger import Ledger
from scanner_adapter.scan.session import ScanSession
from scanner_adapter.scan.worker import WorkerLeases


def choose_and_claim(ranking: ScanSession, ledger: Ledger, share: WorkerLeases, k: int) -> Choice:
    """Choose up to `k` places by everything that all workers have reported so far.

    What others hold counts as not remaining until it is free again, so that propensities are
    those of the choice among the symbols that were free.
    """
    ranking.read_others(share)
    held, free = share.look(ledger.place)
    places = ledger.put_back(ledger.places(free))
    if (live := ranking.live) is not None:
        if places.size:
            live.put_back(places)
        live.take(ledger.places(held))
    parts = [Choice(np.empty(0, np.intp), np.empty(0, bool), np.empty(0))]
    n_left = len(ledger.symbols) - ledger.n_reported - share.n_held
    n_missing = share.paces.batch(ranking.session, k, n_left=n_left)
    while n_missing > 0:
        choice = ranking.choose(n_missing)
        if choice.arms.size == 0:
            break
        names = [ledger.symbols[place] for place in choice.arms.tolist()]
        mine = share.claim(names)
        kept = np.array([name in mine for name in names], bool)
        parts.append(Choice(choice.arms[kept], choice.is_random[kept], choice.propensity[kept]))
        n_missing -= len(mine)
    return Choice(
        np.concatenate([part.arms for part in parts]),
        np.concatenate([part.is_random for part in parts]),
        np.concatenate([part.propensity for part in parts]),
    )
