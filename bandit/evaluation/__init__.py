"""How good was an order? Measures per scan, intervals over scans, off-policy estimates."""
