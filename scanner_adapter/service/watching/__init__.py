"""Scans and beliefs that somebody looks at, kept in step with the store."""
