"""The OpenAPI schema, as a response."""

from __future__ import annotations

from threading import Lock
from typing import Any

from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView
from rest_framework.request import Request
from rest_framework.response import Response


class SchemaView(SpectacularAPIView):
    """Makes the schema for one request at a time.

    The first one loads extensions, which threads must not share: of two that came together, one was a 500.
    """

    _making = Lock()

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        with self._making:
            response: Response = super().get(request, *args, **kwargs)  # type: ignore[no-untyped-call]
            return response
