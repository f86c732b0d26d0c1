"""The report on one run of a build: where its time went, in each format."""
