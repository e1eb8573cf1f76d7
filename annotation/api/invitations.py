"""Links by which people join a project, over the API, for its admins: made, listed and withdrawn."""

from __future__ import annotations

from typing import Any

from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.timezone import now
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from annotation.api.forms import FormSerializer, fields_of, filled_by
from annotation.api.requests import Conflict, page_of, paged, project_of, user_of, valid
from annotation.forms.accounts import InvitationForm
from annotation.models import Membership
from annotation.services.people.invitations import InvitationOver, invite, revoke


class InvitationSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    role = serializers.ChoiceField(choices=Membership.Role.choices)
    uses = serializers.IntegerField(help_text="how many people may join by it")
    used = serializers.IntegerField(help_text="how many have joined by it")
    expires_at = serializers.DateTimeField()
    created_by = serializers.CharField(source="created_by.username")
    created_at = serializers.DateTimeField()


class NewInvitationSerializer(FormSerializer):
    def get_fields(self) -> dict[str, Any]:
        return fields_of(InvitationForm)


class MadeInvitationSerializer(InvitationSerializer):
    link = serializers.URLField(help_text="told this once: only its hash is stored")


@extend_schema(methods=["GET"], responses=InvitationSerializer(many=True))
@extend_schema(methods=["POST"], request=NewInvitationSerializer, responses={201: MadeInvitationSerializer})
@paged
@api_view(["GET", "POST"])
def invitations(request: Request, slug: str) -> Response:
    """The links that can still be used, newest first; or make one, for a role that is not admin."""
    project = project_of(request, slug)
    if request.method == "GET":
        rows = project.invitations.open(now=now()).select_related("created_by")
        return page_of(request, rows, InvitationSerializer)
    form, moment = filled_by(InvitationForm, valid(NewInvitationSerializer(data=request.data))), now()
    made, token = invite(
        project=project,
        role=form.cleaned_data["role"],
        uses=form.cleaned_data["uses"],
        expires_at=form.expires_at(moment),
        by=user_of(request),
        now=moment,
    )
    link = request.build_absolute_uri(reverse("join", args=[token]))
    return Response(InvitationSerializer(made).data | {"link": link}, status=status.HTTP_201_CREATED)


@extend_schema(responses={204: None, 409: OpenApiResponse(description="It was over already.")})
@api_view(["DELETE"])
def invitation(request: Request, slug: str, pk: int) -> Response:
    """Let nobody join by the link any more; who joined by it stays."""
    row = get_object_or_404(project_of(request, slug).invitations, pk=pk)
    try:
        revoke(invitation=row, by=user_of(request), now=now())
    except InvitationOver:
        raise Conflict("The invitation was over already.") from None
    return Response(status=status.HTTP_204_NO_CONTENT)
