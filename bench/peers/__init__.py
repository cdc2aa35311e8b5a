"""The servers that are measured, one script each, all steered alike through standard input."""
