"""Benchmarks of Plantree beside other OPC UA servers: `python -m bench`."""
