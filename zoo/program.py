"""What makes an `nn.Module` a Pyro program here: `guides.program`, by the name that stories know.

It is no guide's: parameters that SVI finds, the plate over the data, labels. It lives with the guides since they
import nothing of the zoo; of all of `guides`, this is what the zoo imports outside of recipes.
"""

from guides.program import Misfit, conditioned_on, data_plate, one_hot, picklable_state, register, whole

__all__ = ["Misfit", "conditioned_on", "data_plate", "one_hot", "picklable_state", "register", "whole"]
