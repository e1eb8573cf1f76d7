"""Which app answers where."""

from django.contrib import admin
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from config.health import healthz, readyz

urlpatterns = [
    path("", include("annotation.urls")),
    path("models/", include("rewardmodel.urls")),
    path("generators/", include("refl.urls")),
    path("api/v1/", include("annotation.api.urls")),
    path("api/v1/", include("rewardmodel.api.urls")),
    path("api/v1/", include("refl.api")),
    path("api/v1/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/v1/docs/", SpectacularSwaggerView.as_view(url_name="schema"), name="api-docs"),
    path("admin/", admin.site.urls),
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
]
