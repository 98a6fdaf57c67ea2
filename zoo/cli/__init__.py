"""The command line: a file per command, or per few commands of a kind.

Only `typer` and modules that import as fast are imported at the top of these files; a command imports the rest when it
runs.
"""
