"""Bounds on connections: who makes room for whom."""

from __future__ import annotations

import pytest

from scanner_adapter.service.guard.connections import Connections, Crowd


class Line:
    """A connection that counts how often it was dropped."""

    def __init__(self, address: str) -> None:
        self.address, self.is_known, self.is_dropped = address, False, False

    def drop(self) -> None:
        self.is_dropped = True


def open_many(connections: Connections, address: str, n: int) -> list[Line]:
    lines = [Line(address) for _ in range(n)]
    assert all(connections.opened(line) for line in lines)
    return lines


def test_the_longest_waiting_one_of_an_address_makes_room() -> None:
    connections = Connections(100, per_address=3)
    first, *rest = open_many(connections, "a", 4)
    assert first.is_dropped
    assert not any(line.is_dropped for line in rest)
    open_many(connections, "b", 3)
    connections.closed(first)
    assert len(connections) == 6


def test_whoever_asks_is_not_dropped_and_then_a_newcomer_is_refused() -> None:
    connections = Connections(100, per_address=2)
    asking, idle = open_many(connections, "a", 2)
    connections.asks(asking)
    open_many(connections, "a", 1)
    assert idle.is_dropped
    connections.closed(idle)
    newest = next(iter(connections._waiting))
    connections.asks(newest)
    assert not connections.opened(Line("a"))
    connections.waits(asking)
    assert connections.opened(Line("a"))
    assert asking.is_dropped


def test_a_share_is_kept_for_those_who_have_shown_something() -> None:
    """Of 10 connections 8 are for all; known ones can have all that is left."""
    connections = Connections(10, per_address=100)
    known = open_many(connections, "desk", 4)
    for line in known:
        connections.shown(line)
    strangers = open_many(connections, "flood", 6)
    assert not any(line.is_dropped for line in strangers)
    more = open_many(connections, "flood", 3)
    assert [line.is_dropped for line in strangers] == [True] * 3 + [False] * 3
    assert not any(line.is_dropped for line in (*known, *more))


def test_behind_a_trusted_proxy_clients_are_bounded_by_requests() -> None:
    connections = Connections(1000, frozenset({"proxy"}), per_address=3)
    assert not any(line.is_dropped for line in open_many(connections, "proxy", 200))
    crowd = Crowd(per_address=2)
    assert [crowd.enter("10.0.0.1") for _ in range(3)] == [True, True, False]
    assert crowd.enter("10.0.0.2")
    crowd.leave("10.0.0.1")
    assert crowd.enter("10.0.0.1")


@pytest.mark.parametrize("n_known", [0, 3])
def test_everything_that_was_counted_is_forgotten(n_known: int) -> None:
    connections = Connections(50, per_address=5)
    lines = [line for address in "abc" for line in open_many(connections, address, 5)]
    for line in lines[:n_known]:
        connections.shown(line)
    for line in lines:
        connections.closed(line)
    assert len(connections) == 0
    assert connections._n_unknown == 0
    assert not connections._unknown
    assert not connections._waiting
