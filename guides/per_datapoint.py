"""A guide without amortisation: separate parameters for every datapoint."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from guides.amortized import dense, through
from guides.heads import Head
from guides.program import check_rows, data_plate, one_hot, picklable_state, register, whole
from guides.sites import sample_sites, sizes_of


class PerDatapoint(nn.Module):
    """A row of raw numbers for each datapoint and site: q(z | x_n) shares no parameters with other datapoints.

        guide = PerDatapoint(len(train), z=MeanField(10))

    It has no amortisation gap: on its training data it is as good as the families of its heads allow. The `index` of a
    batch selects the rows; the values of x are not used.

    .. warning::
        It cannot be applied to other data, which has no rows. A batch without `index` must be all of the data in its
        order: in another order it would get the rows of other datapoints, and nothing can notice that.

    Args:
        num_data: the number of datapoints.
        classes: the number of classes of the labels, for heads that are given "y" where "y" has no head.
        heads: the head of each site. Sites are sampled in the order of the arguments. A head that is given other sites
            has layers for their values, which all datapoints share.

    Raises:
        ValueError: there is no head, or a head depends on a site that does not come before it.

    Example:
        >>> from guides import MeanField
        >>> guide = PerDatapoint(100, z=MeanField(2))
        >>> guide.tables["z"].shape  # 2 means and 2 log variances for each datapoint
        torch.Size([100, 4])
        >>> guide(torch.zeros(3, 5), index=torch.tensor([0, 7, 42]))["z"].shape
        torch.Size([3, 2])
    """

    def __init__(self, num_data: int, *, classes: int | None = None, **heads: Head) -> None:
        super().__init__()
        num_data = whole("PerDatapoint: num_data", num_data)
        sizes = sizes_of(heads, classes)
        learnt = {site: head for site, head in heads.items() if head.learnt}
        self.num_data = num_data
        self.classes = sizes.get("y")
        self.heads = nn.ModuleDict(heads)
        # Not all zero: the gradient of a low-rank factor vanishes at zero.
        self.tables = nn.ParameterDict({s: 0.1 * torch.randn(num_data, head.num_raw) for s, head in learnt.items()})
        self.layers = nn.ModuleDict(
            {
                site: dense([sum(sizes[name] for name in head.given), *head.hidden, head.num_raw])
                for site, head in learnt.items()
                if head.given
            }
        )

    def raw(self, index: Tensor, site: str, given: Mapping[str, Tensor]) -> Tensor:
        """The raw numbers of a site's head, [..., num_raw]: a row per datapoint, shifted by the given sites."""
        head: Any = self.heads[site]
        row = self.tables[site][index]
        if not head.given:
            return row
        moved: Tensor = row + through(self.layers[site], [given[name] for name in head.given])
        return moved

    def forward(self, x: Tensor, y: Tensor | None = None, *, index: Tensor | None = None) -> dict[str, Tensor]:
        """Samples every site for the datapoints `index` [B], but not "y" if labels y [B] are given. Returns the values.

        Raises:
            ValueError: there is no index, and the batch has another size than the data.
        """
        register(self)
        plate = data_plate(x, index, self.num_data)  # checks the batch, before anything reads it
        check_rows(x, index, self.num_data)
        values: dict[str, Tensor] = {}
        if y is not None and self.classes is not None:
            values["y"] = one_hot(y, self.classes, x)
        rows = torch.arange(self.num_data, device=x.device) if index is None else index.long()
        with plate:
            return sample_sites(dict(self.heads.items()), values, partial(self.raw, rows))

    def __getstate__(self) -> dict[str, Any]:
        return picklable_state(self)
