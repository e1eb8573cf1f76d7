"""Pages of this app."""

from typing import Any

from django.urls import path

from refl.views import generators, loop, pictures, public_studies, samples, studies
from refl.views import runs as kinds
from rewardmodel.runs import views as runs

TUNING: dict[str, Any] = {"kind": kinds.TUNING}
SAMPLING: dict[str, Any] = {"kind": kinds.SAMPLING}

urlpatterns = [
    path("", generators.index, name="generators"),
    path("<slug:slug>/", generators.project_generators, name="project-generators"),
    path("<slug:slug>/tune/", generators.tune_now, name="tune-now"),
    path("<slug:slug>/generate/", generators.generate_images, name="generate-images"),
    path("<slug:slug>/<int:pk>/", generators.generator, name="generator"),
    path("<slug:slug>/tunings/<int:pk>/", runs.show, TUNING, name="tuning-run"),
    path(
        "<slug:slug>/tunings/<int:pk>/curves.<str:form>",
        runs.download_curves,
        TUNING,
        name="curves-of-tuning-run",
    ),
    path("<slug:slug>/tunings/<int:pk>/cancel/", runs.cancel, TUNING, name="cancel-tuning-run"),
    path("<slug:slug>/tunings/<int:pk>/retry/", runs.retry, TUNING, name="retry-tuning-run"),
    path("<slug:slug>/tunings/<int:pk>/samples/<int:step>.png", samples.sample_grid, name="sample-grid"),
    path(
        "<slug:slug>/tunings/<int:pk>/samples/<int:step>/<int:place>.png",
        pictures.sample_image,
        name="sample-image",
    ),
    path(
        "<slug:slug>/tunings/<int:pk>/judged/<int:number>/<str:side>.webp",
        pictures.judged_image,
        name="judged-image",
    ),
    path("<slug:slug>/samplings/<int:pk>/", runs.show, SAMPLING, name="sampling-run"),
    path("<slug:slug>/samplings/<int:pk>/cancel/", runs.cancel, SAMPLING, name="cancel-sampling-run"),
    path("<slug:slug>/samplings/<int:pk>/retry/", runs.retry, SAMPLING, name="retry-sampling-run"),
]

loop_urls = [
    path("", loop.loop, name="loop"),
    path("outcomes/", loop.outcomes, name="loop-outcomes"),
    path("<str:step>/start/", loop.start, name="start-step"),
    path("<str:step>/repeat/", loop.repeat, name="repeat-step"),
    path("<str:step>/cancel/", loop.cancel, name="cancel-step"),
]

study_urls = [
    path("", studies.studies, name="project-studies"),
    path("open/", studies.open_one, name="open-study"),
    path("plan/", studies.plan, name="plan-study"),
    path("<int:pk>/", studies.study, name="study"),
    path("<int:pk>/close/", studies.close, name="close-study"),
    path("<int:pk>/repeat/", studies.repeat, name="repeat-study"),
    path("<int:pk>/publish/", studies.publish, name="publish-study"),
    path("<int:pk>/withdraw/", studies.withdraw, name="withdraw-study-link"),
]

public_urls = [
    path("<uuid:token>/", public_studies.public_study, name="public-study"),
    path("<uuid:token>/images/<uuid:image>", public_studies.public_image, name="public-study-image"),
]
