"""Signing in, and what people do with their own account."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from annotation.models import ApiToken, SignInAttempt
from annotation.services.people.accounts import verify_password
from annotation.services.people.attempts import (
    MOST_FOR_ACCOUNT_FROM_ADDRESS,
    MOST_FOR_ADDRESS,
    MOST_FROM_DEVICE,
    MOST_FROM_DEVICES,
    SLOWED_AFTER,
    SPACING,
    WINDOW,
    TooManyAttempts,
    cookie_name,
    device_of,
    digest_of_name,
)
from annotation.services.people.tokens import issue_token, use_token
from annotation.services.projects.projects import add_member
from tests.cast import NOW

SECRET = "a long secret"
HERE = "198.51.100.7"


@pytest.fixture
def ann(alice):
    """Alice, with a password."""
    alice.set_password(SECRET)
    alice.save()
    return alice


def attempt(name="alice", password="wrong", address=HERE, now=NOW, device=""):
    return verify_password(name=name, password=password, address=address, now=now, device=device)


def attack(name="alice", now=NOW):
    """Fifty wrong passwords from eleven addresses."""
    account = digest_of_name(name)
    SignInAttempt.objects.bulk_create(
        SignInAttempt(account=account, address=f"203.0.113.{number % 11}", at=now)
        for number in range(SLOWED_AFTER)
    )


def post(client, path="/sign-in/", **fields):
    return client.post(path, {"username": "alice", "password": SECRET, **fields})


# Attempts


def test_after_five_wrong_passwords_not_even_the_right_one_is_checked_until_the_first_is_forgotten(ann):
    for seconds in range(MOST_FOR_ACCOUNT_FROM_ADDRESS):
        assert attempt(now=NOW + timedelta(seconds=seconds)) is None
    with pytest.raises(TooManyAttempts) as refused:
        attempt(password=SECRET, now=NOW + timedelta(minutes=1))
    assert refused.value.until == NOW + WINDOW
    assert attempt(password=SECRET, now=NOW + WINDOW) == ann


def test_a_name_that_does_not_exist_is_refused_alike(db):
    for _ in range(MOST_FOR_ACCOUNT_FROM_ADDRESS):
        assert attempt(name="nobody") is None
    with pytest.raises(TooManyAttempts):
        attempt(name=" NoBody ")


def test_an_account_under_attack_is_slowed_and_its_owner_not_locked_out(ann):
    attack()
    with pytest.raises(TooManyAttempts) as refused:
        attempt(password=SECRET)
    assert refused.value.until == NOW + SPACING
    assert attempt(password=SECRET, now=NOW + SPACING) == ann
    with pytest.raises(TooManyAttempts) as refused:  # the attackers' addresses give way meanwhile
        attempt(address="203.0.113.1", now=NOW + 3 * SPACING)
    assert refused.value.until == NOW + WINDOW


def test_an_attack_goes_on_at_one_guess_in_twenty_seconds_whatever_addresses_it_has(ann):
    attack()
    admitted = 0
    for second in range(0, 120, 4):
        try:
            attempt(address=f"198.18.0.{second}", now=NOW + timedelta(seconds=second))
            admitted += 1
        except TooManyAttempts:
            pass
    assert admitted == 120 / SPACING.total_seconds() - 1


def test_a_browser_that_signed_in_before_is_counted_apart(ann):
    known, new = Client(), Client(REMOTE_ADDR="192.0.2.9")
    assert post(known).status_code == 302
    known.post("/sign-out/")
    attack(now=timezone.now())
    assert post(new).status_code == 429
    assert post(known).status_code == 302
    known.post("/sign-out/")
    pages = [post(known, password="wrong").status_code for _ in range(MOST_FROM_DEVICE + 1)]
    assert pages == [422] * MOST_FROM_DEVICE + [429]


def test_the_cookie_of_one_account_says_nothing_about_another(ann, bob):
    bob.set_password(SECRET)
    bob.save()
    browser = Client()
    post(browser, username="bob")
    browser.post("/sign-out/")
    (cookie,) = (name for name in browser.cookies if name.startswith("device_"))
    hers = cookie_name("alice")
    browser.cookies[hers] = browser.cookies[cookie].value
    assert device_of(browser.cookies[hers].value, name="bob") != ""
    post(browser, password="wrong")
    assert SignInAttempt.objects.get().device == ""


@pytest.mark.parametrize("end", ["password", "everywhere"])
def test_a_browser_is_a_stranger_after_a_new_password_or_signing_out_everywhere(ann, end):
    here, there = Client(), Client()
    for browser in (here, there):
        assert post(browser).status_code == 302
    change(here) if end == "password" else here.post("/sign-out/everywhere/")
    here.post("/sign-out/")
    SignInAttempt.objects.all().delete()
    for browser in (there, here):
        post(browser, password="wrong")
    devices = list(SignInAttempt.objects.order_by("pk").values_list("device", flat=True))
    assert [device != "" for device in devices] == [False, end == "password"]


def test_a_new_key_leaves_browsers_known(ann, settings):
    browser = Client()
    post(browser)
    browser.post("/sign-out/")
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "another " * 8
    post(browser, password="wrong")
    assert SignInAttempt.objects.get().device != ""


def test_past_so_many_from_all_its_browsers_an_account_takes_them_as_unknown(ann):
    for number in range(MOST_FROM_DEVICES):
        assert attempt(device=f"device {number // MOST_FROM_DEVICE}") is None
    assert attempt(device="another") is None
    assert SignInAttempt.objects.latest("pk").device == ""
    assert SignInAttempt.objects.filter(device="").count() == 1


def test_an_address_tries_only_so_many_names(ann):
    for number in range(MOST_FOR_ADDRESS):
        attempt(name=f"name-{number}")
    with pytest.raises(TooManyAttempts):
        attempt(password=SECRET)
    assert attempt(password=SECRET, address="203.0.113.1") == ann


def test_the_right_password_forgives_what_was_mistyped_before(ann):
    for _ in range(3):
        for _ in range(MOST_FOR_ACCOUNT_FROM_ADDRESS - 1):
            attempt()
        assert attempt(password=SECRET) == ann
    assert not SignInAttempt.objects.exists()


def test_names_are_not_kept_in_clear_and_old_attempts_not_at_all(ann):
    attempt(name="typed my passw0rd here")
    assert len(SignInAttempt.objects.get().account) == 64
    attempt(now=NOW + WINDOW)
    assert SignInAttempt.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_many_attempts_at_once_no_more_get_through(ann):
    def guess(number):
        try:
            return attempt(password=f"guess {number}")
        except TooManyAttempts:
            return "refused"
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(guess, range(16)))
    assert answers.count(None) == MOST_FOR_ACCOUNT_FROM_ADDRESS


# The page


def test_too_many_attempts_are_told_so_with_the_time_to_wait(ann, client):
    pages = [post(client, password="wrong") for _ in range(MOST_FOR_ACCOUNT_FROM_ADDRESS)]
    assert {page.status_code for page in pages} == {422}
    page = post(client)
    assert (page.status_code, "Too many attempts" in page.text) == (429, True)
    assert 0 < int(page.headers["Retry-After"]) <= WINDOW.total_seconds()
    assert "_auth_user_id" not in client.session


def test_the_admins_door_is_ours_and_shut_to_members_without_its_key(ann, client):
    assert client.get("/admin/", follow=True).redirect_chain[-1][0] == "/sign-in/?next=/admin/"
    assert client.post("/admin/login/", {"username": "alice", "password": SECRET}).status_code == 405
    client.force_login(ann)
    assert client.get("/admin/", follow=True).status_code == 404


def test_behind_a_proxy_the_address_is_what_the_proxy_saw_and_never_what_a_client_wrote(ann, settings):
    settings.PROXIES = 1
    for number in range(MOST_FOR_ACCOUNT_FROM_ADDRESS):
        Client(headers={"X-Forwarded-For": f"10.0.0.{number}, {HERE}"}).post(
            "/sign-in/", {"username": "alice", "password": "wrong"}
        )
    assert set(SignInAttempt.objects.values_list("address", flat=True)) == {HERE}
    assert post(Client(headers={"X-Forwarded-For": HERE})).status_code == 429
    assert post(Client(headers={"X-Forwarded-For": f"{HERE}, 203.0.113.9"})).status_code == 302


def test_without_a_proxy_forwarded_addresses_are_not_believed(ann):
    post(Client(headers={"X-Forwarded-For": HERE}), password="wrong")
    assert SignInAttempt.objects.get().address == "127.0.0.1"


def test_neighbours_in_an_ipv6_network_count_as_one(ann):
    for last in ("1", "2"):
        post(Client(REMOTE_ADDR=f"2001:db8:1:2::{last}"), password="wrong")
    assert set(SignInAttempt.objects.values_list("address", flat=True)) == {"2001:db8:1:2::/64"}


# Password and sessions


def change(client, old=SECRET, new="a longer secret"):
    fields = {"old_password": old, "new_password1": new, "new_password2": new}
    return client.post("/account/password/", fields)


def test_a_new_password_signs_out_every_other_browser(ann):
    here, there = Client(), Client()
    for browser in (here, there):
        assert post(browser).status_code == 302
    assert change(here).url == "/account/"
    assert here.get("/account/").status_code == 200
    assert there.get("/account/").status_code == 302
    assert post(Client()).status_code == 422
    assert post(Client(), password="a longer secret").status_code == 302


def test_a_password_is_not_changed_without_the_old_one_or_to_a_weak_one(ann, client):
    client.force_login(ann)
    assert "not your password" in change(client, old="wrong").text
    assert "too short" in change(client, new="short").text
    assert "too similar to the username" in change(client, new="alice-alice").text
    ann.refresh_from_db()
    assert ann.check_password(SECRET)


def test_the_old_password_cannot_be_guessed_at_a_browser_left_open(ann, client):
    client.force_login(ann)
    for _ in range(MOST_FROM_DEVICE):
        change(client, old="wrong")
    assert change(client).status_code == 429


def test_signing_out_everywhere_ends_every_session_of_that_person(ann, bob):
    here, there, his = Client(), Client(), Client()
    here.force_login(ann)
    there.force_login(ann)
    his.force_login(bob)
    assert here.post("/sign-out/everywhere/").url == "/sign-in/"
    for browser in (here, there):
        assert browser.get("/account/").status_code == 302
    assert his.get("/account/").status_code == 200


# Tokens


def ask(secret, scheme="Bearer"):
    return APIClient().get("/api/v1/projects/", headers={"Authorization": f"{scheme} {secret}"})


def test_a_token_is_shown_once_and_kept_as_a_digest(ann, client):
    client.force_login(ann)
    page = client.post("/account/tokens/", {"name": "nightly", "days": "90"})
    (secret,) = re.findall(r"laurel_[\w-]{43}", page.text)
    assert ask(secret).status_code == 200
    token = ApiToken.objects.get()
    assert secret not in str(vars(token))
    assert token.expires_at - token.created_at == timedelta(days=90)
    assert secret not in client.get("/account/").text
    assert "nightly" in client.get("/account/").text


def test_a_token_without_a_name_is_not_made(ann, client):
    client.force_login(ann)
    assert client.post("/account/tokens/", {"name": "", "days": "30"}).status_code == 422
    assert not ApiToken.objects.exists()


def test_a_token_opens_nothing_once_it_is_revoked_expired_or_its_owner_shut_out(ann, client):
    now = timezone.now()
    token, secret = issue_token(user=ann, name="a", days=None, now=now)
    _, old = issue_token(user=ann, name="b", days=30, now=now - timedelta(days=30))
    assert [ask(secret).status_code, ask(old).status_code] == [200, 401]
    client.force_login(ann)
    client.post(f"/account/tokens/{token.pk}/revoke/")
    assert ask(secret).status_code == 401
    _, another = issue_token(user=ann, name="c", days=None, now=now)
    ann.is_active = False
    ann.save()
    assert ask(another).status_code == 401


def test_a_token_that_only_reads_changes_nothing(ann, project, client):
    add_member(project=project, user=ann, role="admin")
    client.force_login(ann)
    made = client.post("/account/tokens/", {"name": "watcher", "days": "30", "reads_only": "on"})
    program = Client(headers={"Authorization": f"Bearer {made.context['secret']}"})
    base = f"/api/v1/projects/{project.slug}/prompts/"
    assert program.get(base).status_code == 200
    sent = {"prompts": [{"id": "1", "prompt": "a fox"}]}
    assert program.post(base, sent, content_type="application/json").status_code == 403
    assert not project.prompts.exists()


@pytest.mark.parametrize("secret", ["", "laurel_x", "two words", "\xff", "laurel_" + "x" * 10_000])
def test_what_is_no_token_is_refused(db, secret):
    assert ask(secret).status_code == 401


def test_nobody_revokes_anothers_token(ann, bob, client):
    token, secret = issue_token(user=ann, name="a", days=None, now=NOW)
    client.force_login(bob)
    assert client.post(f"/account/tokens/{token.pk}/revoke/").status_code == 404
    assert use_token(secret=secret, now=NOW) == token


def test_its_use_is_noted_to_the_hour(ann):
    token, secret = issue_token(user=ann, name="a", days=None, now=NOW)
    for minutes in (0, 30, 90):
        use_token(secret=secret, now=NOW + timedelta(minutes=minutes))
        token.refresh_from_db()
        assert token.last_used_at == NOW + timedelta(minutes=90 if minutes == 90 else 0)
