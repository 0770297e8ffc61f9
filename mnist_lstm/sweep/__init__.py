"""Search for good options of `fit` with Optuna, by any number of workers."""
