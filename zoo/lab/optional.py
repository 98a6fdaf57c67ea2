"""Libraries that only teaching needs, and what to say where one is not there."""

import importlib
import warnings
from typing import Any


def optional(name: str, what: str) -> Any:
    """The module `name` of the extra "notebooks", which is needed for `what`.

    Raises:
        ModuleNotFoundError: it is not installed; says how to.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # what a library tells of its own plans, whoever imports it
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name.partition(".")[0]:  # it is there, and something that it needs is not
            raise
        raise ModuleNotFoundError(
            f'{what} needs {error.name}, which is not installed: pip install -e ".[notebooks]"', name=error.name
        ) from None
