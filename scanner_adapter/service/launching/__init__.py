"""Scans started over HTTP: what an operator allows, and the processes."""
