"""What crosses papers: guides compared, which combinations fit, estimators, times and rates."""
