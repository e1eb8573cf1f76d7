"""Answers over the API: submitting, revising and reading them, with the same fields as on pages."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from typing import Any

from django.db.models import Prefetch, QuerySet
from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from annotation.access import Do, may
from annotation.api.cursors import SubmissionPages
from annotation.api.requests import Conflict, page_of, paged_by, project_of, user_of, valid
from annotation.api.serializers import LabelSerializer, RatingSerializer, ReviewSerializer
from annotation.api.work import ShownImageSerializer, held_task, shown_image
from annotation.models import Assignment, Placement, Project, Review
from annotation.services.assignments.assignments import LeaseLost
from annotation.services.judgements.answers import ImageRating, Judgement, Label
from annotation.services.judgements.judgements import Contradiction, InvalidJudgement, submit_judgement
from annotation.services.judgements.revisions import (
    AnswerChanged,
    AnswerClosed,
    NoOwnAnswer,
    revise_judgement,
)


class JudgedImageSerializer(serializers.Serializer[Any]):
    number = serializers.IntegerField()
    slot = serializers.IntegerField(help_text="1 is best; equal slots tie")
    rating = RatingSerializer(required=False, allow_null=True)


class NewAnswerSerializer(serializers.Serializer[Any]):
    claim = serializers.CharField()
    label = LabelSerializer(required=False, allow_null=True)  # type: ignore[assignment]  # a field
    images = JudgedImageSerializer(many=True, allow_empty=False)
    acceptable_slots = serializers.IntegerField(
        required=False, allow_null=True, help_text="images in slots 1 to this are acceptable, 0: none is"
    )
    confirmed = serializers.BooleanField(
        default=False, help_text="contradictions were shown and are meant; only projects that warn listen"
    )

    def validate_images(self, images: list[dict[str, Any]]) -> list[dict[str, Any]]:
        numbers = [image["number"] for image in images]
        if len(set(numbers)) < len(numbers):
            raise serializers.ValidationError("An image is there twice.")
        return images


class ChangedAnswerSerializer(NewAnswerSerializer):
    version = serializers.CharField(
        allow_blank=True, help_text="the answer's, as you read it before you changed it"
    )


class RefusedAnswerSerializer(serializers.Serializer[Any]):
    """What the rules of the project say against an answer whose fields are all in order."""

    code = serializers.CharField(help_text="incomplete_ranking, slot_overfull, contradiction ...")
    detail = serializers.CharField()
    images = serializers.ListField(child=serializers.IntegerField(), help_text="their numbers")
    pairs = serializers.ListField(
        child=serializers.ListField(child=serializers.IntegerField()),
        help_text="of a contradiction: the number rated better, the number placed better",
    )


class StoredImageSerializer(ShownImageSerializer):
    slot = serializers.IntegerField()
    rating = RatingSerializer(allow_null=True)


class AnswerSerializer(serializers.Serializer[Any]):
    """An answer as its annotator knows it."""

    claim = serializers.CharField()
    prompt = serializers.CharField()
    state = serializers.ChoiceField(choices=Assignment.State.choices)
    submitted_at = serializers.DateTimeField()
    version = serializers.CharField(help_text="of its words: a change says which it was made from")
    label = LabelSerializer(allow_null=True)  # type: ignore[assignment]  # a field
    images = StoredImageSerializer(many=True)
    acceptable_slots = serializers.IntegerField(
        allow_null=True, help_text="images in slots 1 to this are acceptable, 0: none is; null: not asked"
    )


class InspectedAnswerSerializer(AnswerSerializer):
    """An answer as inspectors and admins see it; the fields that are not required are theirs alone."""

    assignment = serializers.IntegerField(required=False)
    prompt_id = serializers.CharField(required=False)
    annotator = serializers.CharField(required=False)
    seconds = serializers.FloatField(
        required=False,
        allow_null=True,
        help_text="from showing the task to its first answer; null: not known",
    )
    reviews = ReviewSerializer(many=True, required=False)


@extend_schema(
    methods=["GET"],
    parameters=[
        OpenApiParameter("state", enum=["submitted", "accepted", "rejected"]),
        OpenApiParameter("annotator", description="a user name; inspectors and admins only"),
    ],
    responses=InspectedAnswerSerializer(many=True),
    description="The answers, oldest first. Annotators see their own, without `assignment`, `prompt_id`, "
    "`annotator`, `seconds` and `reviews`, which only inspectors and admins see.",
)
@extend_schema(
    methods=["POST"],
    request=NewAnswerSerializer,
    responses={
        201: AnswerSerializer,
        200: OpenApiResponse(AnswerSerializer, description="It was stored already."),
        400: RefusedAnswerSerializer,
        404: OpenApiResponse(description="You hold, and held, no task of that claim."),
        409: OpenApiResponse(description="It was answered already, otherwise; the stored answer stays."),
    },
    description="Answer a task. The same answer is stored once: after a lost connection, send it again.",
)
@extend_schema(
    methods=["PUT"],
    request=ChangedAnswerSerializer,
    responses={
        200: AnswerSerializer,
        400: RefusedAnswerSerializer,
        404: OpenApiResponse(description="You gave no answer under that claim."),
        409: OpenApiResponse(
            description="It was inspected, exported or frozen in a dataset; or changed elsewhere since."
        ),
    },
    description="Change an answer of your own. What it said before is kept.",
)
@paged_by(SubmissionPages)
@api_view(["GET", "POST", "PUT"])
def answers(request: Request, slug: str) -> Response:
    if request.method == "POST":
        return _submit(request, project_of(request, slug, Do.WORK))
    if request.method == "PUT":
        return _change(request, project_of(request, slug, Do.ANNOTATE))
    project, user = project_of(request, slug, Do.SEE), user_of(request)
    rows = _submitted_answers(project)
    if state := request.query_params.get("state"):
        rows = rows.filter(state=state)
    if not may(user, Do.INSPECT, project):
        return page_of(request, rows.filter(annotator=user), _AnswerPage, SubmissionPages)
    if annotator := request.query_params.get("annotator"):
        rows = rows.filter(annotator__username=annotator)
    return page_of(request, rows, _InspectedAnswerPage, SubmissionPages)


class _AnswerPage(AnswerSerializer):
    """Answers straight from their rows."""

    def to_representation(self, instance: Assignment) -> dict[str, Any]:
        return dict(super().to_representation(_answer_fields(self.context["request"], instance)))


class _InspectedAnswerPage(InspectedAnswerSerializer):
    def to_representation(self, instance: Assignment) -> dict[str, Any]:
        fields = _answer_fields(self.context["request"], instance) | {
            "assignment": instance.pk,
            "prompt_id": instance.prompt.key,
            "annotator": instance.annotator.username if instance.annotator else "",
            "seconds": instance.seconds,
            "reviews": instance.reviews.all(),
        }
        return dict(super().to_representation(fields))


def _submit(request: Request, project: Project) -> Response:
    fields = valid(NewAnswerSerializer(data=request.data, context={"project": project}))
    task = held_task(user_of(request), project, fields["claim"])
    judgement = _judgement(fields, task.order)
    is_new = task.state == Assignment.State.LEASED
    try:
        submit_judgement(
            assignment=task,
            annotator=user_of(request),
            judgement=judgement,
            now=timezone.now(),
            generator=random.Random(),
            confirmed=fields["confirmed"],
        )
    except InvalidJudgement as error:
        return Response(_refusal(error, task.order), status=status.HTTP_400_BAD_REQUEST)
    except LeaseLost:
        raise Conflict("This task was answered already, otherwise; the stored answer stays.") from None
    return _respond(request, task, status.HTTP_201_CREATED if is_new else status.HTTP_200_OK)


def _change(request: Request, project: Project) -> Response:
    fields = valid(ChangedAnswerSerializer(data=request.data, context={"project": project}))
    answer = held_task(user_of(request), project, fields["claim"])
    try:
        revise_judgement(
            assignment=answer,
            annotator=user_of(request),
            judgement=_judgement(fields, answer.order),
            version=fields["version"],
            now=timezone.now(),
            confirmed=fields["confirmed"],
        )
    except InvalidJudgement as error:
        return Response(_refusal(error, answer.order), status=status.HTTP_400_BAD_REQUEST)
    except NoOwnAnswer:
        raise Http404 from None
    except AnswerClosed as error:
        raise Conflict(str(error)) from None
    except AnswerChanged:
        raise Conflict("It was changed elsewhere since you read it; read it again.") from None
    return _respond(request, answer, status.HTTP_200_OK)


def _respond(request: Request, answer: Assignment, code: int) -> Response:
    saved = _submitted_answers(answer.project).get(pk=answer.pk)
    return Response(AnswerSerializer(_answer_fields(request, saved)).data, status=code)


def _judgement(fields: Mapping[str, Any], order: Sequence[int]) -> Judgement:
    """Return the answer keyed by generation ids, as the service takes it. Raises: ValidationError."""
    label, images = fields.get("label"), {image["number"]: image for image in fields["images"]}
    if unknown := sorted(set(images) - set(range(1, len(order) + 1))):
        raise serializers.ValidationError({"images": [f"The task has no image {unknown[0]}."]})
    slots, ratings = {}, {}
    for number, image in images.items():
        pk = order[number - 1]
        slots[pk] = image["slot"]
        if rating := image.get("rating"):
            ratings[pk] = ImageRating(rating["points"], tuple(rating["problems"]))
    labelled = (
        Label(label["category"], label["intent_unclear"], tuple(label["issues"]))
        if label is not None
        else None
    )
    return Judgement(labelled, ratings, slots, fields.get("acceptable_slots"))


def _refusal(error: InvalidJudgement, order: Sequence[int]) -> dict[str, Any]:
    numbers = {pk: number for number, pk in enumerate(order, start=1)}
    pairs = error.pairs if isinstance(error, Contradiction) else []
    return {
        "code": re.sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__).lower(),
        "detail": str(error),
        "images": sorted(numbers[pk] for pk in error.generations if pk in numbers),
        "pairs": [[numbers[better], numbers[worse]] for better, worse in pairs],
    }


def _submitted_answers(project: Project) -> QuerySet[Assignment]:
    """Return answers with all that `_answer_fields` reads: a page takes a fixed number of queries."""
    placements = Placement.objects.select_related("generation__image")
    reviews = Review.objects.select_related("inspector")
    answers = Assignment.objects.filter(project=project, submitted_at__isnull=False)
    return answers.select_related("prompt", "annotator", "label", "ranking").prefetch_related(
        Prefetch("ranking__placements", placements), Prefetch("reviews", reviews), "ratings"
    )


def _answer_fields(request: Request, answer: Assignment) -> dict[str, Any]:
    """Return the fields of an answer that everybody with access sees."""
    numbers = {pk: number for number, pk in enumerate(answer.order, start=1)}
    ratings = {rating.generation_id: rating for rating in answer.ratings.all()}
    images = [
        shown_image(
            request,
            numbers[placed.generation_id],
            placed.generation.image,
            is_flagged=placed.generation.is_flagged,
        )
        | {"slot": placed.slot, "rating": ratings.get(placed.generation_id)}
        for placed in answer.ranking.placements.all()
    ]
    return {
        "claim": answer.claim,
        "prompt": answer.prompt.text,
        "state": answer.state,
        "submitted_at": answer.submitted_at,
        "version": answer.version,
        "label": getattr(answer, "label", None),
        "images": sorted(images, key=lambda image: image["number"]),
        "acceptable_slots": answer.ranking.acceptable_slots,
    }
