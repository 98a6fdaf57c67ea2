"""A pair that was evaluated within a training is trained on as before."""

from torch import nn

from zoo.lab.isolation import isolated


def test_every_part_keeps_its_mode():
    """Before: a part that was set to another mode than the whole, such as a frozen batch norm, was set to train."""
    network = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.BatchNorm1d(2), nn.Dropout(0.5)))
    network[1][0].eval()
    with isolated(network):
        assert not any(part.training for part in network.modules())
    assert [part.training for part in network.modules()] == [True, True, True, False, True]
