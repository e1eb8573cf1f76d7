"""A project's members over the API, for its admins: who has which role, giving and taking it."""

from __future__ import annotations

from typing import Any

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from annotation.api.forms import filled_by
from annotation.api.requests import Conflict, page_of, paged, project_of, user_of, valid
from annotation.forms.projects import MemberForm
from annotation.models import Membership, User
from annotation.services.people.members import AccountExists, MemberRefused, OwnProject, give_role, take_role


class MemberSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField(source="user_id")
    username = serializers.CharField(source="user.username")
    role = serializers.ChoiceField(choices=Membership.Role.choices)


class NewMemberSerializer(serializers.Serializer[Any]):
    username = serializers.CharField(max_length=150)
    role = serializers.ChoiceField(choices=Membership.Role.choices)
    new_account = serializers.BooleanField(default=False, help_text="make an account of this name")


class SeatedMemberSerializer(MemberSerializer):
    password = serializers.CharField(
        allow_null=True, help_text="of the new account, told this once; null where none was made"
    )


@extend_schema(methods=["GET"], responses=MemberSerializer(many=True))
@extend_schema(
    methods=["POST"],
    request=NewMemberSerializer,
    responses={
        201: SeatedMemberSerializer,
        409: OpenApiResponse(description="There is an account of this name, or it would be your own role."),
    },
)
@paged
@api_view(["GET", "POST"])
def members(request: Request, slug: str) -> Response:
    """The members with their roles; or give somebody a role, in place of the one they have."""
    project = project_of(request, slug)
    if request.method == "GET":
        rows = project.memberships.select_related("user").order_by("role", "user__username")
        return page_of(request, rows, MemberSerializer)
    form = filled_by(MemberForm, valid(NewMemberSerializer(data=request.data)))
    try:
        membership, password = give_role(project=project, by=user_of(request), **form.cleaned_data)
    except (AccountExists, OwnProject) as error:
        raise Conflict(str(error)) from None
    except MemberRefused as error:
        raise serializers.ValidationError({error.field: [str(error)]}) from None
    seated = MemberSerializer(membership).data | {"password": password}
    return Response(seated, status=status.HTTP_201_CREATED)


@extend_schema(responses={204: None, 409: OpenApiResponse(description="It is your own role.")})
@api_view(["DELETE"])
def member(request: Request, slug: str, pk: int) -> Response:
    """Take the role of the person of this id; their answers stay."""
    project = project_of(request, slug)
    user = get_object_or_404(User.objects.filter(memberships__project=project), pk=pk)
    try:
        take_role(project=project, user=user, by=user_of(request))
    except OwnProject as error:
        raise Conflict(str(error)) from None
    return Response(status=status.HTTP_204_NO_CONTENT)
