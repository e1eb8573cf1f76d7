"""Data-parallel training: one process a device, on one host or several, as torchrun starts them.

Every process holds the whole model. A batch's rankings are sharded, and gradients and losses summed over all
processes, so that a pair weighs the same however many processes there are. A process alone is a group of one,
for which nothing here communicates.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.distributed_c10d import Store
from torch.distributed.rendezvous import rendezvous

from rewardmodel.learning.data.rankings import Ranking
from rewardmodel.learning.devices import device_or_default

T = TypeVar("T")
# How long a process waits for another. Errors and requests to stop arrive at once; this is for lost hosts.
TIMEOUT = timedelta(minutes=10)
# How long it waits where one may have much to do by itself: for all to meet, as the main process may fetch
# images first, and at a patient barrier. torchrun ends all if one dies.
PATIENT_TIMEOUT = timedelta(days=1)
BUCKET_BYTES = 64 << 20  # of gradients in one all-reduce


class PeerFailed(RuntimeError):
    """Another process of the run failed; the message quotes its error."""


class ProcessGroup:
    """The processes of a run, as one of them sees them.

    Args: patient: a group of torch's of the same processes, which waits for longer.
    """

    def __init__(self, device: torch.device, rank: int = 0, size: int = 1, patient: Any = None) -> None:
        self.device, self.rank, self.size = device, rank, size
        self._patient = patient

    @property
    def is_main_process(self) -> bool:
        """Whether this is the process that reports and writes files."""
        return self.rank == 0

    def shard(self, rankings: Iterable[Ranking]) -> Iterator[Ranking]:
        """Yield this process's rankings, perhaps none: each goes to whoever has the fewest images so far."""
        loads = [0] * self.size
        for ranking in rankings:
            target = loads.index(min(loads))
            loads[target] += len(ranking.images)
            if target == self.rank:
                yield ranking

    @contextmanager
    def error_barrier(self, *, patient: bool = False) -> Iterator[None]:
        """At the end of the block wait for all processes; an error in the block of one is raised in all.

        Nothing in the block may communicate.

        Args: patient: whether one may take hours longer than another.
        Raises: the error itself where it happened; PeerFailed in the other processes.
        """
        error: Exception | None = None
        try:
            yield
        except Exception as raised:
            error = raised
        if self.size > 1 and patient:
            dist.barrier(self._patient)
        if self.size > 1 and self.any(error is not None):
            messages = self.all_gather(error and f"{type(error).__name__}: {error}")
            if error is None:
                raise PeerFailed(
                    next(f"process {rank}: {text}" for rank, text in enumerate(messages) if text)
                )
        if error is not None:
            raise error

    def sum(self, *values: float) -> list[float]:
        """Sum each value over all processes, in float64."""
        if self.size == 1:
            return list(values)
        sums = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(sums)
        return sums.tolist()

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        return self.sum(float(flag))[0] > 0

    def all_gather(self, value: T) -> list[T]:
        """Return the values of all processes, by rank."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def broadcast(self, value: T) -> T:
        """Return the main process's value."""
        if self.size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, src=0)
        return values[0]

    def all_reduce_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Sum every gradient over all processes; one that no process has stays None.

        Adam skips a parameter without a gradient but moves one whose gradient is 0.
        """
        if self.size == 1:
            return
        trained = [p for p in parameters if p.requires_grad]
        present = torch.tensor([p.grad is not None for p in trained], dtype=torch.int32)
        dist.all_reduce(present)
        gradients = []
        for parameter, count in zip(trained, present.tolist(), strict=True):
            if count:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                gradients.append(parameter.grad)
        for bucket in _buckets(gradients):
            flat = torch.cat([gradient.flatten() for gradient in bucket])
            dist.all_reduce(flat)
            parts = torch.split(flat, [gradient.numel() for gradient in bucket])
            for gradient, part in zip(bucket, parts, strict=True):
                gradient.copy_(part.view_as(gradient))


def _buckets(gradients: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Group neighbouring gradients of one dtype, up to BUCKET_BYTES."""
    bucket: list[Tensor] = []
    size = 0
    for gradient in gradients:
        if bucket and (size + gradient.nbytes > BUCKET_BYTES or gradient.dtype != bucket[0].dtype):
            yield bucket
            bucket, size = [], 0
        bucket.append(gradient)
        size += gradient.nbytes
    if bucket:
        yield bucket


def is_launched() -> bool:
    """Whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def rank() -> int:
    """The rank of this process under torchrun; 0 without it."""
    return int(os.environ.get("RANK", "0"))


def is_first_of_host() -> bool:
    """Whether this is the first of the processes that torchrun started on this host."""
    return os.environ.get("LOCAL_RANK", "0") == "0"


def take_own_device() -> None:
    """Make "cuda" mean this process's GPU, for what is loaded before it joins the group."""
    if is_launched() and torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))


@contextmanager
def process_group(device: str | torch.device | None) -> Iterator[ProcessGroup]:
    """Join the other processes that torchrun started, if there are any, until the block ends.

    Args: device: None takes this process's GPU, by its rank on the host, if there is one.
    Raises: DeviceError.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if device is None:
        local_rank = int(os.environ.get("LOCAL_RANK", "0"))
        device = f"cuda:{local_rank}" if torch.cuda.is_available() else "cpu"
    device = device_or_default(device)
    if size == 1:
        yield ProcessGroup(device)
        return
    # Adam imports this module, whose functions take the group of that moment as a default argument. Imported
    # before there is a group, they do not keep it alive, nor its threads, which may abort Python as it exits.
    from torch.distributed.nn import functional  # noqa: F401

    if device.type == "cuda":
        torch.cuda.set_device(device)
    store, rank, size = next(rendezvous("env://", timeout=PATIENT_TIMEOUT))
    _meet(store, rank, size)
    # Objects and sums go by gloo, so that they never wait for what the GPU has queued; gradients go by NCCL.
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=TIMEOUT)
    try:
        patient = dist.new_group(backend="gloo", timeout=PATIENT_TIMEOUT)
        yield ProcessGroup(device, rank, size, patient)
    finally:
        dist.destroy_process_group()


def _meet(store: Store, rank: int, size: int) -> None:
    """Wait until every process of the run is here."""
    names = [f"here/{other}" for other in range(size)]
    store.set(names[rank], "")
    store.wait(names, PATIENT_TIMEOUT)
