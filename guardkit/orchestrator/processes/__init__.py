"""Processes of agents and tests, and all that descends from them."""
