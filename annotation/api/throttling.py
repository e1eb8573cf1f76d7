"""How many requests a person or an address may make in a minute."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from annotation.addresses import client_address
from annotation.models import User
from annotation.services.people.rates import count_request, seconds_to_next_minute

if TYPE_CHECKING:  # it imports the throttles that the settings name
    from rest_framework.views import APIView


class RequestRate(BaseThrottle):
    """At most settings.API_REQUESTS_A_MINUTE by one person, with whichever tokens and in every process.

    Past it comes a 429 with Retry-After. Strangers, who may read the schema, are counted by address.
    """

    def allow_request(self, request: Request, view: APIView) -> bool:
        if not settings.API_REQUESTS_A_MINUTE:
            return True
        user = request.user
        client = (
            f"user {user.pk}" if isinstance(user, User) else f"address {client_address(request._request)}"
        )
        most: int = settings.API_REQUESTS_A_MINUTE
        return count_request(client, now=timezone.now()) <= most

    def wait(self) -> float:
        return seconds_to_next_minute(timezone.now())
