"""Makes the fake GPU a fixture."""

from tests.cuda.fake_cuda import fake_cuda

__all__ = ["fake_cuda"]
