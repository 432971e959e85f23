"""The questions of the benchmark, one module each."""
