"""The journal and what was learned from it: kept in step, checked, compared, exported."""
