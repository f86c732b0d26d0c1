"""Runs builds: the Player and Coach loop."""
