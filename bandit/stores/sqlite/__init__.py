"""The store in one SQLite file, or in memory. Start in `store`."""
