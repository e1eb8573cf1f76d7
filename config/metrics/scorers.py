"""What scorers tell of themselves: requests, their latency, and how large batches are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from typing import Any

from django.conf import settings
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from rewardmodel.serving import client
from rewardmodel.serving.metrics import LATENCIES
from rewardmodel.serving.protocol import parse_address

SIZES = (1, 2, 4, 8, 16, 32, 64, 128)  # images of a batch: upper ends


def read_scorers() -> Iterable[Metric]:
    """Ask all at the same time: the time-outs of hosts that are down must not add up."""
    with ThreadPoolExecutor(max(1, len(settings.SCORERS))) as pool:
        statuses = list(pool.map(_status, settings.SCORERS))
    return describe(dict(zip(settings.SCORERS, statuses, strict=True)))


def describe(statuses: Mapping[str, dict[str, Any] | None]) -> Iterable[Metric]:
    """Return what scorers tell, by their addresses; None of one that does not answer.

    One of the release before, which is replaced after web hosts, knows nothing of latencies.
    """
    up = GaugeMetricFamily("laurel_scorer_up", "Whether the scorer answers", labels=["scorer"])
    waiting = GaugeMetricFamily("laurel_scorer_images_waiting", "Images in the scorer", labels=["scorer"])
    refused = CounterMetricFamily("laurel_scorer_refused", "Requests refused as too many", labels=["scorer"])
    latency = HistogramMetricFamily(
        "laurel_scorer_seconds", "Seconds from a request to its scores, in the scorer", labels=["scorer"]
    )
    batch = HistogramMetricFamily("laurel_scorer_batch_images", "Images of a batch", labels=["scorer"])
    for address, status in statuses.items():
        up.add_metric([address], status is not None)
        if status is None:
            continue
        waiting.add_metric([address], status["waiting"])
        refused.add_metric([address], status.get("refused", 0))
        if "latencies" in status:
            counts = buckets(LATENCIES, status["latencies"])
            latency.add_metric([address], counts, status["latency_seconds"])
        batch.add_metric([address], *batch_sizes(status["batches"]))
    return up, waiting, refused, latency, batch


def buckets(ends: Sequence[float], counts: Sequence[int]) -> list[tuple[str, float]]:
    """Return counts by interval, the last one open, as Prometheus has them: cumulative, by upper end."""
    names = [*map(str, map(float, ends)), "+Inf"]
    return list(zip(names, map(float, accumulate(counts)), strict=True))


def batch_sizes(batches: Sequence[Sequence[int]]) -> tuple[list[tuple[str, float]], float]:
    """Return the histogram of images a batch, and all their images.

    Args: batches: [images, requests, how many], as a scorer counts them.
    """
    counts = [0] * (len(SIZES) + 1)
    for images, _, count in batches:
        counts[next((place for place, end in enumerate(SIZES) if images <= end), len(SIZES))] += count
    return buckets(SIZES, counts), float(sum(images * count for images, _, count in batches))


def _status(address: str) -> dict[str, Any] | None:
    try:
        return client.status(parse_address(address), key=settings.SCORER_KEY)
    except (client.NoScorer, ValueError):  # ValueError: an invalid address, as `doctor` reports
        return None
