"""Figures on request: quality, speed and comparison with peers on the shared market data."""
