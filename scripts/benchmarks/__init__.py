"""What ``scripts/benchmark.py`` measures: one module per subject, each with ``run(options)``."""
