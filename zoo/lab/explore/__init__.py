"""A pair in one HTML file, in which the decoder runs whenever a slider moves.

from zoo.lab.explore import page
"""

from zoo.lab.explore.network import Network, NotExported, export
from zoo.lab.explore.page import Explorer, page

__all__ = ["Explorer", "Network", "NotExported", "export", "page"]
