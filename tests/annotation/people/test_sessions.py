"""Sessions: when they end, and what people see and end of their own."""

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from annotation.models import BrowserSession
from annotation.selectors.sessions import browser_name, ident_of

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.0 Mobile/15E148 Safari/604.1"
)
EDGE = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 "
    "Safari/537.36 Edg/140.0.0.0"
)
ANDROID = (
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36"
)


@pytest.fixture
def ann(alice):
    alice.set_password("a long secret")
    alice.save()
    return alice


def sign_in(agent=FIREFOX, address="192.0.2.1"):
    browser = Client(headers={"User-Agent": agent}, REMOTE_ADDR=address)
    assert browser.post("/sign-in/", {"username": "alice", "password": "a long secret"}).status_code == 302
    return browser


def is_in(browser, **options):
    return browser.get("/account/", **options).status_code == 200


def key_of(browser):
    return browser.cookies["sessionid"].value


def let_idle(browser, time):
    BrowserSession.objects.filter(pk=key_of(browser)).update(seen_at=timezone.now() - time)


def test_a_session_begun_under_an_earlier_secret_key_is_shown_and_can_be_ended(ann, settings):
    settings.SECRET_KEY, earlier = "the next key of forty letters and a few more", settings.SECRET_KEY
    now_in = sign_in()
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = earlier, [settings.SECRET_KEY]
    other = sign_in(agent=SAFARI)
    page = other.get("/account/").text
    assert "Firefox on Linux" in page
    ident = ident_of(BrowserSession.objects.get(pk=key_of(now_in)))
    other.post(f"/account/sessions/{ident}/end/")
    assert not is_in(now_in)
    settings.SECRET_KEY_FALLBACKS = []
    assert is_in(other)


def test_a_session_ends_when_nobody_was_seen_for_so_long(ann, settings):
    browser, minute = sign_in(), timedelta(minutes=1)
    let_idle(browser, settings.SESSION_IDLE - minute)
    assert is_in(browser)  # and is seen
    assert BrowserSession.objects.get().seen_at > timezone.now() - minute
    let_idle(browser, settings.SESSION_IDLE)
    assert not is_in(browser)


def test_a_page_that_asks_by_itself_keeps_no_session_alive(ann, settings):
    browser = sign_in()
    let_idle(browser, settings.SESSION_IDLE / 2)
    assert is_in(browser, headers={"X-Unattended": "yes"})
    assert BrowserSession.objects.get().seen_at < timezone.now() - settings.SESSION_IDLE / 3


def test_being_seen_is_noted_now_and_then_and_costs_no_statement_between(
    ann, settings, django_assert_num_queries
):
    browser = sign_in()
    with django_assert_num_queries(1):  # the session with its person
        browser.get("/sign-in/")
    let_idle(browser, 2 * settings.SESSION_SEEN_EVERY)
    with django_assert_num_queries(2):
        browser.get("/sign-in/")


def test_a_person_sees_their_sessions_and_ends_one(ann, bob):
    here, there = sign_in(), sign_in(SAFARI, "2001:db8::7")
    bobs = Client()
    bobs.force_login(bob)
    page = here.get("/account/")
    rows = {row.browser: row for row in page.context["sessions"]}
    assert set(rows) == {"Firefox on Linux", "Safari on iPhone"}
    assert rows["Safari on iPhone"].address == "2001:db8::/64"
    assert rows["Firefox on Linux"].is_current
    assert key_of(there) not in page.text
    end = f"/account/sessions/{rows['Safari on iPhone'].ident}/end/"
    bobs.post(end)
    assert is_in(there)
    assert here.post(end).url == "/account/"
    assert (is_in(here), is_in(there), is_in(bobs)) == (True, False, True)
    assert "over already" in here.post(end, follow=True).text
    assert here.post(f"/account/sessions/{rows['Firefox on Linux'].ident}/end/").url == "/sign-in/"
    assert not is_in(here)


def test_sessions_that_a_new_password_made_void_are_not_shown(ann):
    here, _ = sign_in(), sign_in(SAFARI)
    new = {"new_password1": "a longer secret", "new_password2": "a longer secret"}
    here.post("/account/password/", {"old_password": "a long secret", **new})
    (session,) = here.get("/account/").context["sessions"]
    assert (session.is_current, session.browser) == (True, "Firefox on Linux")


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        (FIREFOX, "Firefox on Linux"),
        (EDGE, "Edge on Windows"),
        (ANDROID, "Chrome on Android"),
        ("curl/8.5.0", "curl"),
        ("", "Unknown browser"),
    ],
)
def test_a_browser_is_named_as_people_do(agent, name):
    assert browser_name(agent) == name


def test_whoever_is_signed_in_stays_so_through_the_migration_and_back(migrate_back, ann):
    browser = sign_in()
    migrate_back("annotation", "0037_attempts_know_devices")
    call_command("migrate", verbosity=0)
    assert is_in(browser)
    assert BrowserSession.objects.get().user == ann
