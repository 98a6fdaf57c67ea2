"""What all objectives have in common: their order, their state, what may be assigned, and what may not be made."""

import zoo.elbos
from zoo.elbos import OBJECTIVES, TermwiseELBO


def test_the_objectives_are_all_there_in_the_order_of_the_page():
    on_the_page = [c for c in vars(zoo.elbos).values() if isinstance(c, type) and issubclass(c, TermwiseELBO)]
    assert [c for c in on_the_page if c is not TermwiseELBO] == list(OBJECTIVES)
