"""`Authorization: Bearer laurel_...`: requests of programs, as the token's owner."""

from __future__ import annotations

from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request

from annotation.models import ApiToken, Project, User
from annotation.services.people.tokens import use_token


class TokenAuthentication(BaseAuthentication):
    """Unknown, expired and revoked tokens get a 401; requests without a token are left to other classes.

    Tokens get a 403 beyond their scope: read-only ones where a request may change data, those for a project
    where its address names another, or names none and the endpoint is not marked `stays_in_scope`.
    """

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        words = get_authorization_header(request).split()
        if not words or words[0].lower() != b"bearer":
            return None
        secret = words[1].decode(errors="replace") if len(words) == 2 else ""
        token = use_token(secret=secret, now=timezone.now())
        if token is None:
            raise AuthenticationFailed("This token is unknown, expired or revoked.")
        if token.reads_only and not _only_reads(request):
            raise PermissionDenied("This token only reads.")
        if token.project is not None and not _is_about(request, token.project):
            raise PermissionDenied(f"This token is for the project {token.project.slug} only.")
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


def _only_reads(request: Request) -> bool:
    """Return whether the request only reads: by its method, or its endpoint is marked `changes_nothing`."""
    return request.method in SAFE_METHODS or hasattr(request.parser_context["view"], "changes_nothing")


def _is_about(request: Request, project: Project) -> bool:
    """Return whether the request's address names the project, or its endpoint reads this one's rows only."""
    context = request.parser_context
    slug = context["kwargs"].get("slug")
    return hasattr(context["view"], "stays_in_scope") if slug is None else slug == project.slug


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # as it is written
    """How the schema names it."""

    target_class = TokenAuthentication
    name = "token"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer"}
