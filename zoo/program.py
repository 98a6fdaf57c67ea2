"""What stories need to be Pyro programs: parameters that SVI finds, the plate over the data, labels, and relaxed types.

Guides need the same, and never import the zoo, so all of it is in `guides.program`. Outside recipes it is the only
part of `guides` that the zoo imports.
"""

from guides.program import (
    Misfit,
    RelaxedOneHotCategorical,
    conditioned_on,
    data_plate,
    one_hot,
    picklable_state,
    register,
    whole,
)

__all__ = [
    "Misfit",
    "RelaxedOneHotCategorical",
    "conditioned_on",
    "data_plate",
    "one_hot",
    "picklable_state",
    "register",
    "whole",
]
