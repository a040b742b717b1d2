"""Features of a universe that does not fit into memory, computed piece by piece. Start in `pieces`."""
