"""Features of a universe too large for memory, computed piece by piece. Start in `pieces`."""
