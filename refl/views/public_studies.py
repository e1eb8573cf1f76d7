"""A study's result for everybody who has its link: read-only, nothing of people, and nothing else of Laurel.

It is made anew at most every few seconds in a process, so that any number of readers costs the database the
same. As long as anybody may still answer, there are no images: an annotator with the link would see which is
which, as their own page has the same ones.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID, uuid4

from django.core.cache import cache
from django.core.files.storage import default_storage
from django.http import (
    FileResponse,
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseNotModified,
    QueryDict,
)
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_safe

from annotation.models import Assignment
from refl.models import Study
from refl.selectors.studies import StudyReport, study_report
from refl.selectors.study_gallery import StudyImage
from refl.views.study_gallery import OUTCOMES, PER_PAGE, gallery_of, rate_rows

PAGE = "refl/studies/public.html"
FRESH = 10  # seconds that what was made is shown for, in a process and by whoever caches it; ours
HEADERS = {
    "X-Robots-Tag": "noindex, nofollow",
    "Referrer-Policy": "no-referrer",  # whoever has the address may read it
    "X-Content-Type-Options": "nosniff",
}

_making = threading.Lock()  # one at a time in a process; the others find what it made


@dataclass(frozen=True)
class Shown:
    """What a link shows at present: of a study's images, file and format by token, if it `has_images`.

    `stamp` is in the cache's keys of what belongs to it.
    """

    stamp: str
    generators: int
    pages: int
    has_images: bool
    images: Mapping[UUID, tuple[str, str]]


def public_address(study: Study) -> str:
    """Return the path of the study's public page, which it must have."""
    assert study.public_token is not None
    return reverse("public-study", args=[study.public_token])


def forget_public(token: UUID | None) -> None:
    """Show nothing more of a link that was withdrawn; other processes do so within FRESH seconds."""
    cache.delete(f"public-study-{token}")


@require_safe
def public_study(request: HttpRequest, token: UUID) -> HttpResponseBase:
    """Show the study's result and, once it is over, its images. Raises: Http404 for any other token."""
    shown = _shown(token)
    query = _normal_query(request, shown)
    key = f"{shown.stamp}-{urlencode(query)}"
    page: bytes | None = cache.get(key)
    if page is None:
        with _making:
            page = cache.get(key)
            if page is None:
                page = _render(token, shown, query)
                cache.set(key, page, FRESH)
    etag = f'"{hashlib.sha256(page).hexdigest()[:32]}"'
    response: HttpResponseBase = HttpResponse(page)
    if etag in request.headers.get("If-None-Match", ""):
        response = HttpResponseNotModified()
    return _cacheable(response, etag)


@require_safe
def public_image(request: HttpRequest, token: UUID, image: UUID) -> HttpResponseBase:
    """Serve an image of a study that is over. Raises: Http404 for any other, and any other token."""
    images = _shown(token).images
    if image not in images:
        raise Http404
    name, format = images[image]
    etag = f'"{image}"'
    response: HttpResponseBase
    if etag in request.headers.get("If-None-Match", ""):
        response = HttpResponseNotModified()
    else:
        try:
            file = default_storage.open(name)
        except FileNotFoundError as error:
            raise Http404 from error
        response = FileResponse(file, filename=f"image.{format}", content_type=f"image/{format}")
    return _cacheable(response, etag)


def _cacheable(response: HttpResponseBase, etag: str) -> HttpResponseBase:
    """Let caches keep it for as long as a process does, so that a link ends everywhere at the same time."""
    headers = {**HEADERS, "ETag": etag, "Cache-Control": f"public, max-age={FRESH}, must-revalidate"}
    for name, value in headers.items():
        response.headers[name] = value
    return response


def _normal_query(request: HttpRequest, shown: Shown) -> dict[str, str]:
    """Return what the query chooses, so that equal pages have one key, and there are few."""
    allowed = {
        "generator": {str(place) for place in range(2, shown.generators)},
        "won": set(OUTCOMES),
        "page": {str(number) for number in range(2, shown.pages + 1)},
    }
    return {name: value for name, values in allowed.items() if (value := request.GET.get(name, "")) in values}


def _shown(token: UUID) -> Shown:
    """Return what the link shows; look the token up unless somebody did just now. Raises: Http404."""
    key = f"public-study-{token}"
    shown: Shown | None = cache.get(key)
    if shown is None:
        study = _published(token)
        with _making:
            shown = cache.get(key)
            if shown is None:
                shown = _read(study)
                cache.set(key, shown, FRESH)
    return shown


def _published(token: UUID) -> Study:
    """Return the study whose link has this token, in one query. Raises: Http404 without one."""
    study = Study.objects.filter(public_token=token).select_related("run", "project").first()
    if study is None:
        raise Http404
    return study


def _read(study: Study) -> Shown:
    report = study_report(study)
    is_over = _is_over(study)
    images = [image for row in report.gallery for image in row.images if image is not None]
    shown = Shown(
        stamp=uuid4().hex,
        generators=len(report.generators),
        pages=-(-len(report.gallery) // PER_PAGE),
        has_images=is_over,
        images={image.token: (image.file, image.format) for image in images if is_over},
    )
    cache.set(f"{shown.stamp}-report", report, 2 * FRESH)  # as long as anybody may have the stamp
    return shown


def _is_over(study: Study) -> bool:
    """Return whether the study is closed, and nobody has a task of it in hand, which would still count."""
    tasks = Assignment.objects.filter(prompt__study_task__study=study)
    unanswered = tasks.filter(state__in=[Assignment.State.OPEN, Assignment.State.LEASED])
    return study.state == Study.State.CLOSED and not unanswered.exists()


def _render(token: UUID, shown: Shown, query: Mapping[str, str]) -> bytes:
    report: StudyReport | None = cache.get(f"{shown.stamp}-report")
    if report is None:  # the cache was full
        report = study_report(_published(token))

    def address(image: StudyImage) -> str:
        return reverse("public-study-image", args=[token, image.token])

    context = {
        "study": report.study,
        "report": report,
        "rates": rate_rows(report),
        "gallery": gallery_of(report, query, address=address) if shown.has_images else None,
        "query": QueryDict(urlencode(query)),
    }
    return render_to_string(PAGE, context).encode()
