"""Studies that concern no single paper: guides compared, which combinations fit, estimators, times and rates."""
