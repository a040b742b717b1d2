"""How much of their universe scans leave unseen: what exploring and random symbols are good for."""

from __future__ import annotations

from dataclasses import dataclass

from bandit.errors import InvalidInputError

# Weight that older scans keep with each new one: about the last 20 count.
_KEEP = 0.95
# Share left unseen from which on the whole random quota is drawn, and the part of it that is drawn
# where nothing is left unseen.
_MUCH_UNSEEN, _LEAST_QUOTA = 0.05, 0.25


@dataclass(slots=True)
class Coverage:
    """Running mean of the share of the universe that a scan leaves out.

    Parameters
    ----------
    left_out, weight : float
        Sum of the shares of past scans, and their number; the older, the less.

    Notes
    -----
    A draw pays by what it finds out about symbols that would not have been seen. Where scans run
    to their end everything is seen in any order, and drawing only puts good symbols later.
    """

    left_out: float = 0.0
    weight: float = 0.0

    def learn(self, n_scanned: int, n_total: int) -> None:
        """Take in a finished scan.

        Raises
        ------
        InvalidInputError
            For more symbols scanned than there were.
        """
        if not 0 <= n_scanned <= n_total:
            raise InvalidInputError(f"{n_scanned} of {n_total} symbols scanned; expected 0 to all")
        self.left_out = _KEEP * self.left_out + 1.0 - n_scanned / n_total
        self.weight = _KEEP * self.weight + 1.0

    @property
    def expected_left_out(self) -> float:
        """Share of the universe that the next scan is expected to leave out; at first all of it.

        Examples
        --------
        >>> coverage = Coverage()
        >>> coverage.expected_left_out
        1.0
        >>> coverage.learn(25, 100)
        >>> coverage.expected_left_out
        0.875
        """
        # As if one scan that saw nothing had come before: a prior that explores.
        return (1.0 + self.left_out) / (1.0 + self.weight)

    @property
    def quota(self) -> float:
        """Part of the random quota to draw: all where scans stop, a quarter where they do not.

        In scans that run to their end random symbols say nothing that would stay unknown, and put
        good ones later; a few remain, for the scan that will be stopped.

        Examples
        --------
        >>> coverage = Coverage()
        >>> coverage.quota
        1.0
        >>> coverage.learn(100, 100)
        >>> coverage.quota
        0.25
        >>> coverage.learn(60, 100)
        >>> coverage.quota
        1.0
        """
        if self.weight == 0.0:
            return 1.0
        return min(max(self.left_out / self.weight / _MUCH_UNSEEN, _LEAST_QUOTA), 1.0)
