"""The schema is asked for by several programs at once, as after a start."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event

from django.test import RequestFactory
from drf_spectacular.extensions import OpenApiAuthenticationExtension

from annotation.api.schema_view import SchemaView


def test_the_first_two_that_ask_together_both_get_it():
    loading = []

    class Slow(OpenApiAuthenticationExtension):
        target_class = "nowhere.Authentication"
        name = "slow"
        priority = 100

        @classmethod
        def _load_class(cls):
            loading.append(cls)
            assert len(loading) == 1, "loaded by two threads at once"
            Event().wait(0.3)  # time for another thread to come in between, if it may
            super()._load_class()
            loading.remove(cls)

    try:
        view = SchemaView.as_view(throttle_classes=[])
        with ThreadPoolExecutor(2) as pool:
            requests = [RequestFactory().get("/api/v1/schema/") for _ in range(2)]
            assert [answer.status_code for answer in pool.map(view, requests)] == [200, 200]
    finally:
        OpenApiAuthenticationExtension._registry.remove(Slow)
