"""The timeline of a build: what was when, from its journal and the newest look, and as SVG."""
