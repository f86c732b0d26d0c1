"""What coding agents tell while they work: readers of their event streams, and the ACP client."""
