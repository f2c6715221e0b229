"""CUDA without a GPU: tensors that have a device, a shape and a type, but no numbers.

Code under test runs unchanged on torch's fake tensors. An operation on tensors of two devices
raises as on a GPU, and operations for which the host would wait for the GPU are counted.

Two things are made up: numbers that the host reads (True, 1, or an array of zeros), and gradients
(the autograd engine needs a real device: ``backward`` gives zeros to every parameter on which the
loss depends).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from scmn import processes
from scmn.inference import segmenter
from scmn.networks.base import MemoryNetwork

CUDA = torch.device("cuda", 0)
MEMORY_BYTES = 16 << 30
NETWORKS_AND_PRECISIONS = [("scmn", "bf16"), ("stm", "fp32"), ("stcn", "fp16")]
"""The precision is handled above the networks, so each is tried with one of them."""

aten = torch.ops.aten


class FakeCuda:
    """A GPU that computes nothing, and for what the host waited."""

    def __init__(self) -> None:
        self.waits: list[str] = []
        """Operations for which the host waited; clear it to count anew."""
        self._mode = FakeTensorMode()
        self._pinned: dict[int, torch.UntypedStorage] = {}

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        """Make all tensors of the block fake."""
        with self._mode, _Operations(self), _Functions(self):
            yield

    def move(self, module: nn.Module) -> nn.Module:
        """Move a module with real tensors to the GPU, in place; call it outside the block."""
        with self._mode:
            for part in module.modules():
                for name, parameter in part.named_parameters(recurse=False):
                    moved = nn.Parameter(_on_gpu(parameter), parameter.requires_grad)
                    setattr(part, name, moved)
                for name, buffer in part.named_buffers(recurse=False):
                    setattr(part, name, _on_gpu(buffer))
        return module

    def pin(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        self._pinned[storage._cdata] = storage  # held: another one could get the same address
        return tensor

    def is_pinned(self, tensor: Tensor) -> bool:
        return tensor.untyped_storage()._cdata in self._pinned

    def count(self, tensor: Tensor, operation: object) -> None:
        """Count an operation for which the host needs a tensor's numbers."""
        if tensor.is_cuda:
            self.waits.append(str(operation))

    def count_copy(self, to: Tensor, source: Tensor, *, blocking: bool, operation: object) -> None:
        """Count a copy between host and GPU that the host waits for."""
        if to.device.type != source.device.type:
            host = source if to.is_cuda else to
            if blocking or not self.is_pinned(host):
                self.waits.append(f"{operation} {source.device.type} -> {to.device.type}")


def _on_gpu(tensor: Tensor) -> Tensor:
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=CUDA)


class _Operations(TorchDispatchMode):
    """Counts operations that wait for the GPU, and answers those that need numbers."""

    def __init__(self, cuda: FakeCuda) -> None:
        super().__init__()
        self.cuda = cuda

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        options = dict(kwargs or {})
        if func is aten.upsample_bilinear2d.vec:
            func, args = _upsampling(*args)
        if func.namespace == "aten":
            with self:  # inference mode does not break composite operations up
                result = func.decompose(*args, **options)
            if result is not NotImplemented:
                return result
        if func is aten._local_scalar_dense.default:
            self.cuda.count(args[0], func)
            return _one(args[0].dtype)
        if func is aten.nonzero.default:
            self.cuda.count(args[0], func)
            return args[0].new_empty(args[0].numel(), args[0].dim(), dtype=torch.int64)
        if func in (aten.index.Tensor, aten.index_put_.default):
            args = (args[0], [*map(self._positions, args[1])], *args[2:])
        result = func(*args, **options)
        blocking = not options.get("non_blocking", False)
        if func is aten._to_copy.default:
            if result.device.type == "cpu" and args[0].is_cuda and not blocking:
                self.cuda.pin(result)  # torch copies into page-locked memory then
            self.cuda.count_copy(result, args[0], blocking=blocking, operation=func)
        elif func is aten.copy_.default:
            blocking = not (args[2:3] == (True,) or options.get("non_blocking", False))
            self.cuda.count_copy(args[0], args[1], blocking=blocking, operation=func)
        return self.cuda.pin(result) if options.get("pin_memory") else result

    def _positions(self, index: Tensor | None) -> Tensor | None:
        """Replace a boolean index by as many positions as it has elements."""
        if index is None or index.dtype != torch.bool:
            return index
        self.cuda.count(index, "boolean index")
        assert index.dim() == 1, "flatten before indexing: the shape is made up otherwise"
        return index.new_empty(index.numel(), dtype=torch.int64)


def _upsampling(
    maps: Tensor, size: Sequence[int] | None, align_corners: bool, scales: Sequence[float] | None
) -> tuple[Any, tuple[Any, ...]]:
    """Ask for the kernel, which torch would replace by some 60 operations here."""
    if size is None:
        assert scales is not None
        size = [int(n * scale) for n, scale in zip(maps.shape[2:], scales, strict=True)]
    return aten.upsample_bilinear2d.default, (maps, size, align_corners, *(scales or (None, None)))


def _one(dtype: torch.dtype) -> float | bool:
    if dtype == torch.bool:
        return True
    return 1.0 if dtype.is_floating_point else 1


class _Functions(TorchFunctionMode):
    """Replaces what fake tensors refuse above the level of operations."""

    def __init__(self, cuda: FakeCuda) -> None:
        super().__init__()
        self.cuda = cuda

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func in (Tensor.numpy, Tensor.__array__):
            if args[0].device.type != "cpu":
                raise TypeError("can't convert cuda:0 device type tensor to numpy")
            return np.zeros(tuple(args[0].shape), str(args[0].dtype).removeprefix("torch."))
        if func is Tensor.pin_memory:
            return self.cuda.pin(args[0].clone())
        if func is Tensor.backward:
            return _give_gradients(args[0])
        return func(*args, **(kwargs or {}))


def _give_gradients(loss: Tensor) -> None:
    """Give every parameter in the graph of ``loss`` a gradient."""
    waiting, seen = [loss.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        leaf = getattr(node, "variable", None)
        if leaf is not None:
            leaf.grad = torch.zeros_like(leaf)
        waiting += [following for following, _ in node.next_functions]


class _Event:
    """``torch.cuda.Event``."""

    def __init__(self, cuda: FakeCuda) -> None:
        self._cuda = cuda

    def record(self, stream: object) -> None:
        pass

    def synchronize(self) -> None:
        self._cuda.waits.append("event")


@pytest.fixture
def fake_cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    """A GPU that computes nothing; skipped if this build of torch knows no CUDA."""
    if not torch.backends.cuda.is_built():
        pytest.skip("this build of torch has no CUDA support")
    cuda = FakeCuda()

    def accelerate(network: MemoryNetwork, device: torch.device, *args: Any, **options: Any) -> Any:
        """Fold norms and convert weights with real numbers: fake ones cannot be deep-copied."""
        with unset_fake_temporarily():
            return cuda.move(original(network, device, *args, **options))

    original = segmenter.accelerate
    monkeypatch.setattr(segmenter, "accelerate", accelerate)
    # Only saved memories use the sums; the network that is given may be real or fake.
    monkeypatch.setattr(segmenter, "weighted_bit_sums", lambda network: None)
    monkeypatch.setattr(nn.Module, "to", _ignoring_device(nn.Module.to))
    monkeypatch.setattr(FakeTensor, "tolist", lambda tensor: tensor.cpu().numpy().tolist())
    for module in (segmenter, processes):
        monkeypatch.setattr(module, "resolve_device", lambda name: CUDA)
    # torch's own questions about the hardware: autocast would switch itself off, for example.
    monkeypatch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *args, **options: True)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    memory = SimpleNamespace(total_memory=MEMORY_BYTES)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: memory)
    free = (MEMORY_BYTES, MEMORY_BYTES)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda *device: free)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: None)
    monkeypatch.setattr(torch.cuda, "Event", lambda *args, **options: _Event(cuda))
    return cuda


def _ignoring_device(to: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    """Leave moving to :meth:`FakeCuda.move`."""

    def converted(module: nn.Module, *args: Any, **options: Any) -> nn.Module:
        rest = [argument for argument in args if not isinstance(argument, torch.device)]
        return to(module, *rest, **options) if rest or options else module

    return converted
