"""The command line, whose commands are built once."""

import functools

import typer

built = functools.cache(typer.main.get_command)
"""In place of `typer.main.get_command`, with which `app` builds every command from its functions at every call."""
