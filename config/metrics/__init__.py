"""`/metrics`, for Prometheus: what web processes counted, and what rows, scorers and disks tell."""
