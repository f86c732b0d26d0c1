"""Where people look at builds: a terminal, a log, a shell. One module a place."""
