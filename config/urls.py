"""URLs of all apps."""

from django.apps import apps
from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularSwaggerSplitView

from annotation.api.schema_view import SchemaView
from annotation.views.accounts import admin_sign_in
from config.health import healthz, readyz
from config.metrics.page import metrics
from refl.urls import loop_urls, public_urls, study_urls
from rewardmodel.urls import score_urls, selection_urls

urlpatterns = [
    *([path("", include("annotation.identity.urls"))] if apps.is_installed("allauth.account") else []),
    path("", include("annotation.urls")),
    path("projects/<slug:slug>/loop/", include(loop_urls)),
    path("projects/<slug:slug>/selections/", include(selection_urls)),
    path("projects/<slug:slug>/try/", include(score_urls)),
    path("projects/<slug:slug>/studies/", include(study_urls)),
    path("studies/", include(public_urls)),
    path("models/", include("rewardmodel.urls")),
    path("generators/", include("refl.urls")),
    path("api/v1/", include("annotation.api.urls")),
    path("api/v1/", include("rewardmodel.api.urls")),
    path("api/v1/", include("refl.api.urls")),
    path("api/v1/schema/", SchemaView.as_view(), name="schema"),
    path("api/v1/docs/", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="api-docs"),
    # The admin's own sign-in counts no attempts.
    path("admin/login/", admin_sign_in),
    path("admin/password_change/", RedirectView.as_view(pattern_name="change-password")),
    path("admin/", admin.site.urls),
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("metrics", metrics, name="metrics"),
]

handler400 = "config.errors.bad_request"
handler404 = "config.errors.not_found"
handler500 = "config.errors.server_error"
