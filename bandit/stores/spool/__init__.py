"""Reports that wait while a store is away. Start in `store`."""
