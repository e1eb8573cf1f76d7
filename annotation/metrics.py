"""What services count as it happens, for `/metrics`; what rows tell is read from them there."""

from __future__ import annotations

from prometheus_client import Counter

lease_losses = Counter(
    "laurel_lease_losses", "Answers, drafts and skips refused because somebody else has the task by now"
)
