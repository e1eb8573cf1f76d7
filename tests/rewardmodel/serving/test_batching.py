"""What waits together and how it is scored, whoever it came from: one request's fault is no other's."""

import threading

import pytest
import torch

from rewardmodel.serving.batching import BatchQueue, Request
from rewardmodel.serving.metrics import Metrics


class Fragile:
    """A model that gives each prompt its length, and fails in a given way over some."""

    def __init__(self, **errors):
        self.errors, self.seen = errors, []

    def score_pixels(self, prompts, pixels):
        self.seen.append(len(prompts))
        for prompt in prompts:
            if prompt in self.errors:
                raise self.errors[prompt]
        return [float(len(prompt)) for prompt in prompts]

    def truncated(self, prompts):
        return [False] * len(prompts)


@pytest.fixture
def queue():
    """Batches of eight images, and a thread that scores what was put there before it started."""
    batches = BatchQueue(limit=8, metrics=Metrics(), idle=lambda: None, idle_seconds=60)

    def answers(*requests):
        for request in requests:
            batches.put(request)
        threading.Thread(target=batches.run, daemon=True).start()
        assert all(request.done.wait(10) for request in requests)
        return [request.answer for request in requests]

    return answers


def a_request(model, *prompts):
    return Request(model, prompts, [torch.zeros(3, 2, 2)] * len(prompts), is_wanted=lambda: True)


def scores(*values):
    return {"scores": list(values), "truncated": [False] * len(values)}


@pytest.mark.parametrize(
    "error", [RuntimeError("too much\nframes"), MemoryError("too much"), IndexError("too much")]
)
def test_one_that_cannot_be_computed_is_nobody_elses_fault(queue, error):
    model = Fragile(poison=error)
    requests = a_request(model, "a", "bb"), a_request(model, "ccc", "poison"), a_request(model, "dddd")
    mine, theirs, others = queue(*requests)
    assert model.seen == [5, 2, 2, 1]
    assert (mine, others) == (scores(1, 2), scores(4))
    assert theirs == {"failed": "the scorer could not compute (too much)"}


def test_a_request_of_several_batches_that_fails_is_gone_whole(queue):
    model = Fragile(poison=RuntimeError("too much"))
    large, next_one = queue(a_request(model, *["a"] * 9, "poison"), a_request(model, "bb"))
    assert large == {"failed": "the scorer could not compute (too much)"}
    assert next_one == scores(2)
    assert model.seen == [8, 3, 2, 1]


def test_a_model_is_not_mixed_with_the_one_promoted_meanwhile(queue):
    before, after = Fragile(), Fragile()
    requests = a_request(before, "a"), a_request(after, "bb"), a_request(before, "ccc")
    assert queue(*requests) == [scores(1), scores(2), scores(3)]
    assert (before.seen, after.seen) == ([2], [1])


def test_a_device_that_computes_no_more_ends_the_scorer():
    """So that it is started again: the error stays until the process ends."""
    batches = BatchQueue(limit=8, metrics=Metrics(), idle=lambda: None, idle_seconds=60)
    batches.put(a_request(Fragile(poison=torch.AcceleratorError("device-side assert")), "poison"))
    with pytest.raises(torch.AcceleratorError):
        batches.run()
