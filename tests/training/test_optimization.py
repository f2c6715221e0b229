"""Schedules at their boundaries, parameters of the optimizer, clipping, averaging."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from scmn import InputError
from scmn.training.averaging import WeightAverage
from scmn.training.optimizer import (
    build_optimizer,
    clip_gradients,
    restore_optimizer,
    set_learning_rate,
)
from scmn.training.schedule import learning_rate_factor
from scmn.training.settings import (
    AveragingSettings,
    OptimizerSettings,
    ScheduleSettings,
)
from tests.conftest import build_small

SCHEDULES = {
    "fixed": ScheduleSettings("fixed"),
    "step": ScheduleSettings("step", milestones=[60, 80]),
    "cosine": ScheduleSettings("cosine", final=0.01),
    "one_cycle": ScheduleSettings("one_cycle", final=0.01),
}


def factors(settings: ScheduleSettings, *iterations: int) -> list[float]:
    return [learning_rate_factor(i, total=100, settings=settings) for i in iterations]


@pytest.mark.parametrize(
    ("name", "iterations", "expected"),
    [
        ("fixed", (0, 50, 99), (1, 1, 1)),
        ("step", (0, 59, 60, 79, 80, 99), (1, 1, 0.1, 0.1, 0.01, 0.01)),
        ("cosine", (0, 25, 50, 100), (1, 0.01 + 0.99 * (1 + 2**-0.5) / 2, 0.505, 0.01)),
        ("one_cycle", (0, 15, 30, 65, 100), (0.04, 0.52, 1, 0.505, 0.01)),
    ],
)
def test_learning_rate_factor_at_the_boundaries(
    name: str, iterations: tuple[int, ...], expected: tuple[float, ...]
) -> None:
    assert factors(SCHEDULES[name], *iterations) == pytest.approx(list(expected))


@pytest.mark.parametrize("name", SCHEDULES)
def test_learning_rate_factor_warms_up_linearly(name: str) -> None:
    warm = replace(SCHEDULES[name], warm_up=4)
    first = factors(SCHEDULES[name], 0)[0]
    rising = [first * share for share in (0.2, 0.4, 0.6, 0.8, 1.0)]
    assert factors(warm, *range(5)) == pytest.approx(rising)
    assert factors(warm, 100, 1000) == pytest.approx(factors(SCHEDULES[name], 100, 1000))


@given(
    name=st.sampled_from(list(SCHEDULES)),
    warm_up=st.integers(0, 99),
    iteration=st.integers(0, 300),
    rise=st.floats(0, 1),
)
def test_learning_rate_factor_is_between_0_and_1(
    name: str, warm_up: int, iteration: int, rise: float
) -> None:
    settings = replace(SCHEDULES[name], warm_up=warm_up, rise=rise)
    assert 0 < factors(settings, iteration)[0] <= 1


def test_build_optimizer_takes_every_parameter_once_with_the_trunks_last() -> None:
    network = build_small("scmn")
    optimizer = build_optimizer(network, OptimizerSettings("adamw", 0.1, weight_decay=0.2))
    (group,) = optimizer.param_groups
    taken = [id(parameter) for parameter in group["params"]]
    assert sorted(taken) == sorted(id(parameter) for parameter in network.parameters())
    trunks = [network.query_encoder.trunk, network.memory_encoder.trunk]
    last = {id(parameter) for trunk in trunks for parameter in trunk.parameters()}
    assert set(taken[-len(last) :]) == last
    assert (group["lr"], group["weight_decay"]) == (0.1, 0.2)
    set_learning_rate(optimizer, 0.05)
    assert group["lr"] == 0.05


def test_build_optimizer_leaves_out_frozen_parameters() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    network[0].requires_grad_(False)
    (group,) = build_optimizer(network, OptimizerSettings()).param_groups
    assert [id(p) for p in group["params"]] == [id(p) for p in network[1].parameters()]
    network.requires_grad_(False)
    with pytest.raises(InputError, match="no parameter"):
        build_optimizer(network, OptimizerSettings())


def test_restore_optimizer_keeps_the_configured_rates() -> None:
    network = nn.Linear(3, 2)
    optimizer = build_optimizer(network, OptimizerSettings(learning_rate=0.1))
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    state = copy.deepcopy(optimizer.state_dict())
    other = build_optimizer(network, OptimizerSettings(learning_rate=0.2, weight_decay=0.3))
    restore_optimizer(other, state)
    group = other.param_groups[0]
    assert (group["lr"], group["weight_decay"]) == (0.2, 0.3)
    assert torch.equal(
        other.state[network.weight]["exp_avg"], optimizer.state[network.weight]["exp_avg"]
    )
    deeper = build_optimizer(nn.Sequential(network, nn.Linear(2, 2)), OptimizerSettings())
    with pytest.raises(InputError, match="has 2 parameters, this configuration 4"):
        restore_optimizer(deeper, state)


def test_restore_optimizer_joins_the_groups_of_earlier_versions() -> None:
    network = nn.Linear(3, 2)
    optimizer = build_optimizer(network, OptimizerSettings(learning_rate=0.1))
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    state = copy.deepcopy(optimizer.state_dict())
    (group,) = state["param_groups"]
    state["param_groups"] = [
        {**group, "name": name, "params": [number]}
        for number, name in enumerate(("network", "backbone"))
    ]
    other = build_optimizer(network, OptimizerSettings(learning_rate=0.1))
    restore_optimizer(other, state)
    for parameter in network.parameters():
        ours, theirs = other.state[parameter], optimizer.state[parameter]
        assert torch.equal(ours["exp_avg"], theirs["exp_avg"])


@pytest.mark.parametrize(("maximum", "after"), [(None, 5.0), (10.0, 5.0), (1.0, 1.0)])
def test_clip_gradients_returns_and_limits_the_norm(maximum: float | None, after: float) -> None:
    parameters = nn.ParameterList(torch.zeros(1) for _ in range(3))
    parameters[0].grad, parameters[1].grad = torch.tensor([3.0]), torch.tensor([4.0])
    assert clip_gradients(parameters, maximum).item() == pytest.approx(5.0)
    norm = sum(p.grad.item() ** 2 for p in parameters if p.grad is not None) ** 0.5
    assert norm == pytest.approx(after, rel=1e-4)


def test_weight_average_follows_its_formula() -> None:
    network = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    weight = network[0].weight
    weight.data.fill_(0.0)
    average = WeightAverage(network, AveragingSettings(decay=0.5))
    expected = 0.0
    for step, value in enumerate((1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0)):
        weight.data.fill_(value)
        network[1].num_batches_tracked.fill_(step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
        average.update(network)
    assert average.decay() == 0.5
    assert average.weights["0.weight"].item() == pytest.approx(expected)
    assert average.weights["1.num_batches_tracked"] == 9
    assert weight.item() == 10.0
    fresh = WeightAverage(network, AveragingSettings(decay=0.5))
    fresh.load_state_dict(average.state_dict())
    assert fresh.updates == 10
    assert torch.equal(fresh.weights["0.weight"], average.weights["0.weight"])
    with pytest.raises(InputError, match="another network"):
        WeightAverage(nn.Linear(2, 2), AveragingSettings()).load_state_dict(average.state_dict())
