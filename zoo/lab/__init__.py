"""Shared machinery: data, networks, training, analysis, plots, runs, trials. It knows no paper."""
