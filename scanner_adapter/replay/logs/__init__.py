"""Where a replay's scans come from: a scanner's log with bars, the bundled log, or a journal."""
