"""A training step on a GPU: one device, and no waiting except where numbers are logged."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from scmn.data.clips.clip import ClipSettings
from scmn.data.clips.loading import ClipLoader
from scmn.data.clips.sources import DataSettings
from scmn.data.synthetic import SyntheticSettings
from scmn.networks.base import MemoryNetwork
from scmn.processes import Processes
from scmn.training.losses import VideoLoss
from scmn.training.preparation import prepare_network
from scmn.training.settings import (
    BootstrapSettings,
    LossSettings,
    OptimizerSettings,
    StageSettings,
    TrainingSettings,
)
from scmn.training.stage import Stage
from scmn.training.unroll import TrainingPass
from tests.conftest import build_small
from tests.cuda.fake_cuda import CUDA, NETWORKS_AND_PRECISIONS, FakeCuda

CPU = torch.device("cpu")

STAGE = StageSettings(
    iterations=9,
    batch_size=2,
    clips_per_pass=1,
    clip=ClipSettings(frames=3, size=[32, 48], max_objects=3),
    data={
        "synthetic": DataSettings(
            kind="synthetic", synthetic=SyntheticSettings(size=(32, 48), frames=4, objects=(1, 3))
        )
    },
    # All terms, and a step within the bootstrap's fall.
    loss=LossSettings(soft_iou=1.0, bootstrap=BootstrapSettings(0, 10, 0.1)),
    optimizer=OptimizerSettings(name="adamw", fused=True, clip_gradient_norm=1.0),
)


READS = {"aten::item", "aten::nonzero", "aten::equal", "aten::masked_select", "aten::_unique2"}


def host_reads(work: Callable[[], object]) -> set[str]:
    """Return the operations of ``work`` on real tensors that would wait for a GPU."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        work()
    return READS & {event.key for event in profile.key_averages()}


def open_stage(network: MemoryNetwork, device: torch.device, precision: str = "fp32") -> Stage:
    training = TrainingSettings(precision=precision, norm="batch", workers=0)
    network = prepare_network(network, training, device)
    return Stage("main", network, STAGE, training, Processes(device))


@pytest.mark.parametrize(("name", "precision"), NETWORKS_AND_PRECISIONS)
def test_step_waits_for_the_gpu_only_to_read_numbers(
    fake_cuda: FakeCuda, name: str, precision: str
) -> None:
    network = fake_cuda.move(build_small(name))
    with fake_cuda():
        stage = open_stage(network, CUDA, precision)
        stage.step()  # makes the optimizer's state
        fake_cuda.waits.clear()
        result = stage.step()
        assert fake_cuda.waits == []
        scalars = stage.read(result)
        assert len(fake_cuda.waits) == 1
        assert {"loss/total", "iou_sum", "objects", "gradient_norm"} <= scalars.keys()
        stage.check_losses()
        assert len(fake_cuda.waits) == 1, "nothing is left to check"
    assert all(segmentation.logits.is_cuda for segmentation in result.segmentations)
    without = [n for n, p in network.named_parameters() if p.requires_grad and p.grad is None]
    assert not without


@pytest.mark.parametrize("name", ["scmn", "stm", "stcn"])
def test_backward_pass_reads_no_number(name: str) -> None:
    """With real tensors: fake ones cannot go backward."""
    stage = open_stage(build_small(name), CPU)
    loss = VideoLoss(STAGE.loss, stage.network.aggregate)
    training_pass = TrainingPass(stage.network, loss, STAGE.memory)
    batch = next(iter(ClipLoader(stage.mixture, batch_size=1)))
    assert host_reads(lambda: training_pass(batch, 3).loss.total.backward()) == set()


@pytest.mark.parametrize(
    "reading",
    [
        lambda x: x.sum().item(),
        lambda x: float(x[0]),
        lambda x: bool((x > 0).all()),
        lambda x: x[x > 0],
        lambda x: x.nonzero(),
        lambda x: x.cpu().numpy(),
        lambda x: x.tolist(),
        lambda x: x.copy_(torch.zeros(4)),
        lambda x: x + torch.tensor([1.0, 2.0, 3.0, 4.0], device=CUDA),
    ],
)
def test_waiting_is_counted(fake_cuda: FakeCuda, reading: Callable[[Tensor], object]) -> None:
    with fake_cuda():
        x = torch.ones(4, device=CUDA)
        (2 * x).sum()
        x.copy_(torch.zeros(4).pin_memory(), non_blocking=True)
        x.to("cpu", non_blocking=True)
        assert fake_cuda.waits == []
        reading(x)
    assert len(fake_cuda.waits) == 1


def test_reading_in_a_backward_pass_is_noticed() -> None:
    x = torch.ones(2, 3, requires_grad=True)
    assert "aten::item" in host_reads(lambda: x.prod(dim=1).sum().backward())
    assert "aten::nonzero" in host_reads(lambda: x.detach()[x.detach() > 0])
