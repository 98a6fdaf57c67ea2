"""What makes an `nn.Module` a Pyro program here: `guides.program` under the name that the stories import.

It holds what stories and guides both need: parameters that SVI finds, the plate over the data, and labels. It is in
`guides` because guides never import the zoo; outside recipes, it is the only part of `guides` that the zoo imports.
"""

from guides.program import Misfit, conditioned_on, data_plate, one_hot, picklable_state, register, whole

__all__ = ["Misfit", "conditioned_on", "data_plate", "one_hot", "picklable_state", "register", "whole"]
