"""Single sign-on by OpenID Connect: whom it lets in, as whom, with which roles."""

import urllib.request
from datetime import timedelta
from urllib.error import HTTPError

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from django.test import Client, override_settings
from django.utils import timezone

from annotation.identity.roles import roles_by_project
from annotation.models import Membership, User
from annotation.services.people.invitations import invite
from annotation.services.projects.projects import add_member
from config.identity import Issuer, apps_of, parse_roles
from tests.annotation.identity.issuer import CLIENT, SECRET, SmallIssuer
from tests.annotation.identity.switched import switched_on

ZOE = {"sub": "z-1", "preferred_username": "zoe", "email": "zoe@example.org", "email_verified": True}
START = "/sign-in/sso/"


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments):
        return None


@pytest.fixture(scope="module")
def small_issuer():
    server = SmallIssuer()
    yield server
    server.close()


@pytest.fixture
def issuer(db, small_issuer):
    small_issuer.person, small_issuer.userinfo, small_issuer.key = dict(ZOE), None, small_issuer.published
    named = Issuer(small_issuer.address, CLIENT, SECRET, "Acme")
    with switched_on(issuer=named, OIDC_DOMAINS=[], OIDC_ROLES=[], OIDC_ROLE_CLAIM="groups"):
        yield small_issuer


def at_the_issuer(address):
    """Where the issuer sends a browser that comes from us: back, with a code."""
    try:
        urllib.request.build_opener(_Stay).open(address)
    except HTTPError as redirect:
        return redirect.headers["Location"].removeprefix("http://testserver")
    raise AssertionError


def sign_on(browser, start=START):
    return browser.get(at_the_issuer(browser.get(start).url))


def name_of(browser):
    page = browser.get("/account/")
    return page.context["user"].username if page.status_code == 200 else None


def test_nobody_gets_an_account_who_is_not_invited_or_of_a_domain(issuer):
    browser = Client()
    assert "Sign in with Acme" in browser.get("/sign-in/").text
    refused = sign_on(browser)
    assert refused.url == "/sign-in/"
    assert "No account here is linked to you" in browser.get("/sign-in/").text
    assert not User.objects.exists()
    with override_settings(OIDC_DOMAINS=["example.org"]):
        issuer.person["email_verified"] = False
        assert sign_on(Client()).url == "/sign-in/"
        issuer.person["email_verified"] = True
        assert sign_on(browser).url == "/"
    assert name_of(browser) == "zoe"
    user = User.objects.get()
    assert (user.email, user.has_usable_password()) == ("zoe@example.org", False)
    again = Client()
    assert sign_on(again, f"{START}?next=/account/").url == "/account/"
    assert name_of(again) == "zoe"


def test_an_invitation_lets_in_whom_it_is_shown_to(issuer, project, ada):
    ends = timezone.now() + timedelta(days=1)
    _, token = invite(project=project, role="annotator", uses=1, expires_at=ends, by=ada, now=timezone.now())
    browser, join = Client(), f"/join/{token}/"
    assert f"{START}?next={join}" in browser.get(join).text
    assert sign_on(Client(), f"{START}?next=/join/nothing/").url == "/sign-in/"
    assert sign_on(browser, f"{START}?next={join}").url == join
    assert "Join as zoe" in browser.get(join).text
    browser.post(join)
    assert Membership.objects.get(user__username="zoe").role == "annotator"


def test_names_and_addresses_that_are_taken_open_no_other_account(issuer):
    User.objects.create_user("zoe", email="zoe@example.org", password="a long secret")
    with override_settings(OIDC_DOMAINS=["example.org"]):
        browser = Client()
        sign_on(browser)
    assert name_of(browser).startswith("zoe-")
    assert User.objects.count() == 2


def test_an_account_is_linked_by_its_owner_alone(issuer, alice):
    alice.set_password("a long secret")
    alice.save()
    hers = Client()
    hers.force_login(alice)
    assert sign_on(hers, f"{START}?process=connect").url == "/account/"
    assert sign_on(Client()).url == "/sign-in/"
    assert "process=connect" in hers.post("/account/identity/connect/").text
    assert sign_on(hers, f"{START}?process=connect").url == "/account/identity/"
    other = Client()
    sign_on(other)
    assert name_of(other) == "alice"
    hers.post("/account/identity/disconnect/")
    assert sign_on(Client()).url == "/sign-in/"


def test_the_claim_decides_on_roles_in_the_projects_that_the_setting_names(issuer, project, a_project):
    other = a_project()
    rules = parse_roles([f"leads={project.slug}:admin", f"all={project.slug}:annotator"])
    with override_settings(OIDC_DOMAINS=["example.org"], OIDC_ROLES=rules):
        issuer.person["groups"] = ["all", "leads"]
        sign_on(Client())
        zoe = User.objects.get(username="zoe")
        add_member(project=other, user=zoe, role="inspector")
        seen = []
        for groups in (None, ["all"], []):
            issuer.person.pop("groups", None)
            if groups is not None:
                issuer.person["groups"] = groups
            seen.append(dict(zoe.memberships.values_list("project__slug", "role")))
            sign_on(Client())
    assert seen[0] == seen[1] == {project.slug: "admin", other.slug: "inspector"}
    assert seen[2] == {project.slug: "annotator", other.slug: "inspector"}
    assert dict(zoe.memberships.values_list("project__slug", "role")) == {other.slug: "inspector"}


def test_what_is_not_signed_by_the_issuer_or_of_two_people_opens_nothing(issuer):
    with override_settings(OIDC_DOMAINS=["example.org"]):
        issuer.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        assert "did not work" in sign_on(Client()).text
        issuer.key = issuer.published
        issuer.userinfo = {**ZOE, "sub": "z-2"}
        assert "did not work" in sign_on(Client()).text
        issuer.userinfo = None
        here, there = Client(), Client()
        back = at_the_issuer(here.get(START).url)
        assert "did not work" in there.get(back).text  # the state is of another browser
        assert here.get(back).url == "/"
        assert "did not work" in Client().get(back).text
    assert User.objects.count() == 1


def test_a_shut_account_stays_shut(issuer):
    with override_settings(OIDC_DOMAINS=["example.org"]):
        sign_on(Client())
    User.objects.update(is_active=False)
    browser = Client()
    sign_on(browser)
    assert name_of(browser) is None


def test_the_first_rule_that_holds_decides():
    rules = [("a", "p", "admin"), ("b", "p", "annotator"), ("b", "q", "inspector")]
    assert roles_by_project(rules, {"a", "b"}) == {"p": "admin", "q": "inspector"}
    assert roles_by_project(rules, {"b"}) == {"p": "annotator", "q": "inspector"}
    assert roles_by_project(rules, set()) == {"p": None, "q": None}


def test_settings_that_say_nothing_are_refused():
    for rule in ("a", "a=p", "a=p:boss", "=p:admin", "a=:admin"):
        with pytest.raises(ValueError, match="OIDC_ROLES"):
            parse_roles([rule])
    with pytest.raises(ValueError, match="sms"):
        apps_of(["sms"], None)
    assert apps_of([], None) == []
