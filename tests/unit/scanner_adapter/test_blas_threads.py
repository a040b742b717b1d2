"""BLAS runs in one thread while the ranker works, and as before afterwards."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from scanner_adapter import blas_threads
from scanner_adapter.blas_threads import one_blas_thread


@dataclass
class Library:
    num_threads: int
    printed: list[int] = field(default_factory=list)

    def set_num_threads(self, n: int) -> None:
        self.num_threads = n
        self.printed.append(n)


@pytest.fixture
def libraries(monkeypatch: pytest.MonkeyPatch) -> tuple[Library, Library]:
    found = Library(4), Library(1)
    monkeypatch.setattr(blas_threads, "_libraries", lambda: found)
    return found


def test_the_old_limit_comes_back(libraries: tuple[Library, Library]) -> None:
    with one_blas_thread():
        assert [library.num_threads for library in libraries] == [1, 1]
    assert [library.num_threads for library in libraries] == [4, 1]
    assert libraries[1].printed == []  # setting what is set already takes its time too


def test_it_comes_back_after_an_error(libraries: tuple[Library, Library]) -> None:
    with pytest.raises(ZeroDivisionError), one_blas_thread():
        _ = 1 / 0
    assert libraries[0].num_threads == 4


def test_a_decorated_function_may_call_itself(libraries: tuple[Library, Library]) -> None:
    seen: list[int] = []

    @one_blas_thread()
    def count_down(n: int) -> None:
        seen.append(libraries[0].num_threads)
        if n:
            count_down(n - 1)
            seen.append(libraries[0].num_threads)

    count_down(2)
    assert seen == [1] * 5
    assert libraries[0].printed == [1, 4]


def test_the_libraries_that_numpy_uses_are_found() -> None:
    found = blas_threads._libraries()
    assert found
    assert all(library.num_threads >= 1 for library in found)
