"""What every request passes before a route sees it. Start in `guard`."""
