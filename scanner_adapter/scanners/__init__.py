"""The built-in reference scanners, and the way from a scanner's name to its function."""
