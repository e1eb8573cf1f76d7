"""Second factors: what is asked for beside the password, and passkeys in its stead."""

import hashlib
import hmac
import re
import struct
import time
from base64 import b32decode
from urllib.parse import quote

import pytest
from django.conf import settings
from django.test import Client
from django.urls import NoReverseMatch, reverse
from playwright.sync_api import expect
from pytest_django.live_server_helper import LiveServer

from tests.annotation.identity.switched import switched_on

SECRET = "a long secret"
BOTH = ["totp", "passkeys"]  # always: allauth reads the setting where its forms are imported


def code_at(secret, moment):
    """RFC 6238 with RFC 4226's truncation, written out: six digits of HMAC-SHA1 over half minutes."""
    mac = hmac.digest(b32decode(secret), struct.pack(">Q", int(moment) // 30), hashlib.sha1)
    start = mac[19] & 15
    return f"{(int.from_bytes(mac[start : start + 4], 'big') & 0x7FFFFFFF) % 10**6:06}"


def test_the_codes_of_this_test_are_those_of_the_standard():
    secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"  # 12345678901234567890
    vectors = {59: "287082", 1111111109: "081804", 20000000000: "353130"}  # RFC 6238, appendix B
    assert {moment: code_at(secret, moment) for moment in vectors} == vectors


def sign_in(browser):
    return browser.post(
        "/sign-in/?next=/account/", {"username": "alice", "password": SECRET, "next": "/account/"}
    )


def is_in(browser):
    return browser.get("/account/").status_code == 200


@pytest.fixture
def ann(alice):
    alice.set_password(SECRET)
    alice.save()
    return alice


def test_switched_off_nothing_of_it_is_there(client, ann):
    assert not [name for name in (*settings.MIDDLEWARE, *settings.INSTALLED_APPS) if "allauth" in name]
    for name in ("mfa_index", "account_login", "openid_connect_login"):
        with pytest.raises(NoReverseMatch):
            reverse(name, args=["sso"] if name.startswith("openid") else [])
    assert client.get("/account/factors/").status_code == 404
    sign_in(client)
    page = client.get("/account/").text
    assert "Two-factor authentication" not in page
    assert "passkey" not in client.get("/sign-in/").text


@pytest.fixture
def totp(db):
    with switched_on(BOTH):
        yield


def test_a_code_is_asked_for_beside_the_password(totp, ann, monkeypatch):
    now = [time.time()]
    monkeypatch.setattr(time, "time", lambda: now[0])
    hers = Client()
    assert sign_in(hers).url == "/account/"
    assert "Two-factor authentication" in hers.get("/account/").text
    activate = "/account/factors/totp/activate/"
    assert hers.get(activate).url == f"/account/confirm/?next={quote(activate, safe='')}"
    assert hers.post(f"/account/confirm/?next={activate}", {"password": "wrong"}).status_code == 422
    assert hers.post(f"/account/confirm/?next={activate}", {"password": SECRET}).url == activate
    page = hers.get(activate)
    secret = page.context["form"].secret
    assert secret in page.text
    assert "data:image/svg+xml" in page.text
    assert hers.post(activate, {"code": "000000"}).status_code == 200
    shown = hers.post(activate, {"code": code_at(secret, now[0])}, follow=True)
    recovery = re.findall(r"\b\d{8}\b", shown.text)
    assert len(recovery) == 10

    now[0] += 60
    new = Client()
    assert sign_in(new).url == "/account/factors/authenticate/"
    assert not is_in(new)
    assert new.post("/account/factors/authenticate/", {"code": "000000"}).status_code == 200
    code = code_at(secret, now[0])
    assert new.post("/account/factors/authenticate/", {"code": code}).url == "/account/"
    assert is_in(new)
    assert [row.is_current for row in new.get("/account/").context["sessions"]].count(True) == 1
    again = Client()
    sign_in(again)
    assert again.post("/account/factors/authenticate/", {"code": code}).status_code == 200  # used
    assert again.post("/account/factors/authenticate/", {"code": recovery[0]}).status_code == 302
    assert is_in(again)


def test_codes_are_not_guessed_at(totp, ann, monkeypatch):
    from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret

    secret = generate_totp_secret()
    TOTP.activate(ann, secret)
    browser = Client()
    sign_in(browser)
    for number in range(6):
        page = browser.post("/account/factors/authenticate/", {"code": f"{number:06}"})
    assert "Too many" in page.text
    browser.post("/account/factors/authenticate/", {"code": code_at(secret, time.time())})
    assert not is_in(browser)


@pytest.mark.django_db(transaction=True)
def test_a_passkey_signs_in_without_a_password(ann, a_page):
    with switched_on(BOTH):
        server = LiveServer("localhost")
        try:
            _with_a_passkey(server.url, a_page())
        finally:
            server.stop()


def _with_a_passkey(address, page):
    page.set_default_timeout(30_000)  # the first page of a fresh server
    browser = page.context.new_cdp_session(page)
    browser.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    browser.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    page.goto(f"{address}/sign-in/?next=/account/")
    page.get_by_label("User name").fill("alice")
    page.get_by_label("Password").fill(SECRET)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{address}/account/")
    page.goto(f"{address}/account/factors/webauthn/add/")
    page.get_by_label("Password").fill(SECRET)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Add Security Key")).to_be_visible(timeout=30_000)
    page.get_by_label("Passwordless").check()
    page.get_by_role("button", name="Add").click()
    page.wait_for_url(f"{address}/account/factors/recovery-codes/")
    page.goto(f"{address}/account/")
    page.get_by_role("button", name="Sign out", exact=True).first.click()
    page.wait_for_url(f"{address}/sign-in/")
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.wait_for_url(f"{address}/")
    expect(page.get_by_role("link", name="alice")).to_be_visible()
