"""Two processes under torchrun, over Gloo; and a single process without it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from scmn import InputError
from scmn.processes import join_processes
from tests.programs import run_processes


def broken() -> float:
    raise InputError("disk full")


def exchange() -> dict[str, Any]:
    """What one of two processes sees of the other."""
    with join_processes("cpu") as processes:
        rank = processes.rank
        seen: dict[str, Any] = {"rank": rank, "count": processes.count, "first": processes.first}
        seen["sum"] = processes.sum({"a": rank + 1.0, "b": torch.tensor(2.0)})
        seen["mean"] = processes.mean({"a": rank + 1.0})
        seen["any"] = [processes.any(rank == 1), processes.any(False)]
        seen["gathered"] = processes.gather({"rank": rank})
        seen["score"] = processes.on_first(lambda: 0.5 + rank)
        try:
            processes.on_first(broken)
        except InputError as error:
            seen["error"] = str(error)
        seen["claimed"] = [list(processes.claim("abcde")), list(processes.claim(range(3)))]
        try:
            with processes.share_errors():
                if rank == 1:
                    raise InputError("bad frame")
        except InputError as error:
            seen["shared error"] = str(error)
        torch.manual_seed(rank)
        network = processes.wrap(torch.nn.Linear(1, 1, bias=False))
        network(torch.tensor([[rank + 1.0]])).sum().backward()
        parameter = next(network.parameters())
        seen["weight"], seen["gradient"] = parameter.item(), parameter.grad.item()
        seen["statistics"] = []
        for change in (True, False):
            norm = torch.nn.BatchNorm1d(1).eval()
            wrapped = processes.wrap(norm, buffers_change=change)
            norm.running_mean.fill_(rank)
            wrapped(torch.zeros(2, 1))
            seen["statistics"].append(norm.running_mean.item())
    return seen


FAILING = """
import os

from scmn.processes import join_processes

with join_processes("cpu") as processes:
    # One write, unlike print's two: both processes write to the same pipe.
    os.write(1, f"{processes.sum({'processes': 1})}\\n".encode())
    if processes.rank == 1:
        raise ZeroDivisionError("the second process fails")
    processes.gather(None)
    print("never here")
"""


def test_two_processes_exchange_and_claim() -> None:
    seen = run_processes(exchange)
    assert [s["rank"] for s in seen] == [0, 1]
    assert [s["first"] for s in seen] == [True, False]
    for s in seen:
        assert s["count"] == 2
        assert s["sum"] == {"a": 3.0, "b": 4.0}
        assert s["mean"] == {"a": 1.5}
        assert s["any"] == [True, False]
        assert s["gathered"] == [{"rank": 0}, {"rank": 1}]
        assert s["score"] == 0.5
        assert s["error"] == "disk full"
        assert s["shared error"] == "bad frame"
        assert s["gradient"] == 1.5
    letters, numbers = ([*a, *b] for a, b in zip(*(s["claimed"] for s in seen), strict=True))
    assert sorted(letters) == list("abcde")
    assert sorted(numbers) == [0, 1, 2]
    assert seen[0]["weight"] == seen[1]["weight"]
    assert [s["statistics"] for s in seen] == [[0, 0], [0, 1]]


def test_a_failing_process_ends_the_others(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(FAILING)
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    result = subprocess.run(
        [sys.executable, *torchrun, str(program)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode != 0
    assert "the second process fails" in result.stderr
    assert result.stdout.splitlines() == 2 * ["{'processes': 2.0}"]


def test_a_single_process_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with join_processes("cpu") as processes:
        assert (processes.rank, processes.count, processes.first) == (0, 1, True)
        assert processes.device == torch.device("cpu")
        assert processes.mean({"loss": torch.tensor(2.0)}) == {"loss": 2.0}
        assert processes.any(True)
        assert processes.gather(3) == [3]
        assert processes.on_first(lambda: 4) == 4
        assert list(processes.claim("ab")) == ["a", "b"]
        network = nn.Linear(1, 1)
        assert processes.wrap(network) is network


@pytest.mark.parametrize(("name", "chosen"), [("cuda:1", [torch.device("cuda:1")]), ("cuda", [])])
def test_a_single_process_uses_its_gpu_for_everything(
    name: str, chosen: list[torch.device], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    current: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    with join_processes(name) as processes:
        assert current == chosen
        assert processes.device == torch.device(name)


def test_join_processes_refuses_incomplete_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InputError, match="RANK, LOCAL_RANK"), join_processes("cpu"):
        pass


def test_join_processes_refuses_a_shared_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "3")
    with pytest.raises(InputError, match="--nproc_per_node=2"), join_processes("cuda"):
        pass
    with pytest.raises(InputError, match="cannot share device 'cuda:1'"), join_processes("cuda:1"):
        pass
