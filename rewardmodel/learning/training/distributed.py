"""Several processes that share one run, one for each device, on one host or more, as torchrun starts them.

Every process holds the whole model. A batch's rankings are dealt out, each to one process; gradients and sums
are added up, so that a pair weighs the same however many processes there are. One process is a team too, and
then nothing here communicates.
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

from rewardmodel.learning.data.rankings import Ranking

T = TypeVar("T")
# So long one process waits for another before it gives up. Errors and requests to stop are passed on at once:
# this is for hosts that vanish.
PATIENCE = timedelta(minutes=10)
BUCKET_BYTES = 64 << 20  # gradients travel in parcels of about this size


class PeerFailed(RuntimeError):
    """Another process of the run failed; the message holds its own."""


class Team:
    """The processes of a run, seen from one of them."""

    def __init__(self, device: torch.device, rank: int = 0, size: int = 1) -> None:
        self.device, self.rank, self.size = device, rank, size

    @property
    def leads(self) -> bool:
        """Whether this is the process that reports and writes."""
        return self.rank == 0

    def share(self, rankings: Iterable[Ranking]) -> Iterator[Ranking]:
        """This process's part: each ranking goes to whoever has the fewest images so far. Perhaps none."""
        loads = [0] * self.size
        for ranking in rankings:
            to = loads.index(min(loads))
            loads[to] += len(ranking.images)
            if to == self.rank:
                yield ranking

    @contextmanager
    def together(self) -> Iterator[None]:
        """What fails within fails in every process, where this ends; nothing within may communicate.

        Raises: the error itself where it happened; elsewhere PeerFailed.
        """
        own: Exception | None = None
        try:
            yield
        except Exception as error:
            own = error
        if self.size > 1 and self.any(own is not None):
            told = self.gather(own and f"{type(own).__name__}: {own}")
            if own is None:
                raise PeerFailed(next(f"process {rank}: {text}" for rank, text in enumerate(told) if text))
        if own is not None:
            raise own

    def sum(self, *values: float) -> list[float]:
        """Each value added up over all processes, in float64."""
        if self.size == 1:
            return list(values)
        sums = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(sums)
        return sums.tolist()

    def any(self, own: bool) -> bool:
        """Whether it is true in any process."""
        return self.sum(float(own))[0] > 0

    def gather(self, own: T) -> list[T]:
        """Everybody's value, by rank."""
        if self.size == 1:
            return [own]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, own)
        return values

    def hand_out(self, value: T) -> T:
        """The leader's value."""
        if self.size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, src=0)
        return values[0]

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Make every gradient the sum over all processes; one that nobody has stays None.

        Adam passes over a parameter without a gradient and moves one whose gradient is 0, so this counts.
        """
        if self.size == 1:
            return
        trained = [p for p in parameters if p.requires_grad]
        present = torch.tensor([p.grad is not None for p in trained], dtype=torch.int32)
        dist.all_reduce(present)
        gradients = []
        for parameter, holders in zip(trained, present.tolist(), strict=True):
            if holders:
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
    """Neighbours of one type together, up to the size of a parcel."""
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
    """Of this process among those that torchrun started; 0 without it."""
    return int(os.environ.get("RANK", "0"))


@contextmanager
def joined(device: str | torch.device | None) -> Iterator[Team]:
    """Meet the other processes that torchrun started, if there are any, and part in the end.

    Args: device: None takes this process's GPU, by its rank on the host, if there is one.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if device is None:
        own = int(os.environ.get("LOCAL_RANK", "0"))
        device = f"cuda:{own}" if torch.cuda.is_available() else "cpu"
    device = torch.device(device)
    if size == 1:
        yield Team(device)
        return
    # Adam imports this, and its functions take the group of that moment for their default. Imported before
    # there is one, they do not keep it beyond its end, nor its threads, which may abort Python as it exits.
    from torch.distributed.nn import functional  # noqa: F401

    if device.type == "cuda":
        torch.cuda.set_device(device)
    # Words and sums travel by gloo, so that they never wait for what the GPU has queued; gradients by NCCL.
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield Team(device, rank(), size)
    finally:
        dist.destroy_process_group()
