"""Pages for more ways to sign in: in use only where one is switched on. Names with _ are those of allauth."""

from allauth import app_settings
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView

from annotation.views.accounts import sign_out

urlpatterns: list[URLPattern | URLResolver] = [
    path(
        "account/sign-in/",
        RedirectView.as_view(pattern_name="sign-in", query_string=True),
        name="account_login",
    ),
    path("account/inactive/", RedirectView.as_view(pattern_name="sign-in"), name="account_inactive"),
    path("account/sign-out/", sign_out, name="account_logout"),
]
if app_settings.MFA_ENABLED:
    from annotation.identity.views import confirm

    urlpatterns += [
        path("account/factors/", include("allauth.mfa.urls")),
        path("account/confirm/", confirm, name="account_reauthenticate"),
    ]
if app_settings.SOCIALACCOUNT_ENABLED:
    from annotation.identity import openid
    from annotation.identity.views import connect, disconnect

    urlpatterns += [
        path(
            "account/identity/",
            RedirectView.as_view(pattern_name="account"),
            name="socialaccount_connections",
        ),
        path("account/identity/connect/", connect, name="connect-identity"),
        path("account/identity/disconnect/", disconnect, name="disconnect-identity"),
        path(
            "sign-in/cancelled/",
            RedirectView.as_view(pattern_name="sign-in"),
            name="socialaccount_login_cancelled",
        ),
        path("sign-in/refused/", RedirectView.as_view(pattern_name="sign-in"), name="socialaccount_signup"),
        path("sign-in/<str:provider_id>/", openid.login, name="openid_connect_login"),
        path("sign-in/<str:provider_id>/back/", openid.callback, name="openid_connect_callback"),
    ]
