"""A study's public page: what everybody with its link sees, and that nobody else sees anything."""

import re
from uuid import uuid4

import pytest
from django.core.cache import cache
from django.urls import reverse
from django.utils.timezone import now

from annotation.models import Generation
from annotation.services.assignments.assignments import claim_next
from annotation.services.judgements.judgements import submit_judgement
from refl.models import Study
from refl.services.studies import close_study, publish_study
from refl.views.public_studies import FRESH
from tests.cast import answer_for, luck
from tests.refl.asked_studies import answer_study, asked_study, two_generators


@pytest.fixture(autouse=True)
def _nothing_cached():
    cache.clear()


@pytest.fixture
def generators(project, pipeline):
    return two_generators(project, pipeline)


@pytest.fixture
def study(project, generators, alice):
    """Answered by alice, and published."""
    study = asked_study(project, generators, captions=4)
    answer_study(study, alice, generators[::-1])
    return publish_study(study, by=None)


@pytest.fixture
def closed(study):
    return close_study(study, reason="Closed by ada.", now=now())


def page_of(client, study, **query):
    return client.get(reverse("public-study", args=[study.public_token]), query)


def images_in(text):
    return re.findall(r'<img src="([^"]+)"', text)


def test_whoever_has_the_link_reads_the_result_and_sees_the_images(client, closed):
    page = page_of(client, closed)
    assert page.status_code == 200
    text = page.content.decode()
    assert "tuned against small" in text
    assert text.count("<before-after>") == 4
    assert "&lt;red&gt; fox" in text
    for address in images_in(text):
        image = client.get(address)
        assert image.status_code == 200
        assert image.headers["Content-Type"] == "image/png"
        assert b"".join(image)[:4] == b"\x89PNG"


def test_there_is_nothing_of_people_and_no_way_to_any_other_page(client, closed):
    text = page_of(client, closed).content.decode()
    tokens = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"  # of images: "ada" may stand in one by chance
    words = re.sub(tokens, "", text).replace("data-unveil", "")
    for name in ("alice", "ada", closed.project.slug, closed.project.name, "csrf"):
        assert name not in words
    links = set(re.findall(r'href="([^"]*)"', text))
    assert {link for link in links if not link.startswith(("/static/", "?"))} == set()


def test_no_search_engine_lists_it_and_no_address_leaks(client, closed):
    page = page_of(client, closed)
    assert page.headers["X-Robots-Tag"] == "noindex, nofollow"
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert '<meta name="robots" content="noindex, nofollow">' in page.content.decode()
    assert not page.cookies


def test_the_images_come_only_when_the_study_is_closed(client, study):
    text = page_of(client, study).content.decode()
    assert "4 of 4 opinions are in" in text or "preferred" in text or "Every opinion is in" in text
    assert images_in(text) == []
    image = Generation.objects.first().image
    address = reverse("public-study-image", args=[study.public_token, image.token])
    assert client.get(address).status_code == 404
    cache.clear()
    close_study(study, reason="Enough.", now=now())
    assert client.get(address).status_code == 200


def test_no_image_is_shown_while_somebody_has_a_task_of_the_closed_study_in_hand(
    client, project, generators, alice
):
    study = publish_study(asked_study(project, generators, captions=4), by=None)
    held = claim_next(annotator=alice, project=project, now=now(), generator=luck())
    close_study(study, reason="Enough.", now=now())
    text = page_of(client, study).content.decode()
    assert "every task in hand is answered" in text
    assert images_in(text) == []
    for generation in Generation.objects.filter(pk__in=held.order):
        address = reverse("public-study-image", args=[study.public_token, generation.image.token])
        assert client.get(address).status_code == 404
    judgement = answer_for(held)
    submit_judgement(assignment=held, annotator=alice, judgement=judgement, now=now(), generator=luck())
    cache.clear()
    assert images_in(page_of(client, study).content.decode()) != []


def test_every_address_that_leads_nowhere_answers_alike(client, closed):
    strangers = [
        reverse("public-study", args=[uuid4()]),
        reverse("public-study-image", args=[uuid4(), uuid4()]),
        reverse("public-study-image", args=[uuid4(), Generation.objects.first().image.token]),
        reverse("public-study-image", args=[closed.public_token, uuid4()]),
        "/studies/guess/",
    ]
    answers = [client.get(address, headers={"X-Request-ID": "one-for-all"}) for address in strangers]
    assert {answer.status_code for answer in answers} == {404}
    contents = {re.sub('"X-CSRFToken": "[^"]+"', "", answer.content.decode()) for answer in answers}
    headers = {tuple(sorted((name, answer.headers[name]) for name in answer.headers)) for answer in answers}
    assert (len(contents), len(headers)) == (1, 1)


def test_a_link_that_was_withdrawn_replaced_or_guessed_leads_nowhere(client, ada, closed):
    token, image = closed.public_token, Generation.objects.first().image.token
    addresses = [reverse("public-study", args=[token]), reverse("public-study-image", args=[token, image])]
    assert [client.get(address).status_code for address in addresses] == [200, 200]
    client.force_login(ada)
    slug = closed.project.slug
    client.post(reverse("publish-study", args=[slug, closed.pk]))
    assert [client.get(address).status_code for address in addresses] == [404, 404]
    closed.refresh_from_db()
    assert closed.public_token not in (token, None)
    assert page_of(client, closed).status_code == 200
    page = client.get(reverse("study", args=[slug, closed.pk])).content.decode()
    assert f"http://testserver{reverse('public-study', args=[closed.public_token])}" in page
    client.post(reverse("withdraw-study-link", args=[slug, closed.pk]))
    assert page_of(client, closed).status_code == 404
    assert client.get(reverse("public-study", args=[uuid4()])).status_code == 404
    assert client.get("/studies/guess/").status_code == 404


def test_a_guess_costs_one_statement_whatever_studies_there_are(client, closed, django_assert_num_queries):
    for _ in range(2):
        with django_assert_num_queries(1):
            client.get(reverse("public-study", args=[uuid4()]))
        with django_assert_num_queries(1):
            client.get(reverse("public-study-image", args=[uuid4(), uuid4()]))


def test_a_link_shows_no_image_but_its_studys_own(client, project, closed, generators, a_prompt):
    a_prompt()
    other = asked_study(project, generators, captions=2)
    own = {
        image.token
        for generation in Generation.objects.filter(prompt__study_task__study=closed)
        if (image := generation.image)
    }
    for generation in Generation.objects.exclude(image__token__in=own):
        address = reverse("public-study-image", args=[closed.public_token, generation.image.token])
        assert client.get(address).status_code == 404
    assert other.pk != closed.pk


def test_an_image_whose_file_is_gone_is_not_found(client, closed):
    image = Generation.objects.first().image
    image.file.storage.delete(image.file.name)
    address = reverse("public-study-image", args=[closed.public_token, image.token])
    assert client.get(address).status_code == 404


def test_ten_thousand_readers_cost_the_database_as_much_as_one(
    client, closed, django_assert_num_queries, django_assert_max_num_queries
):
    with django_assert_max_num_queries(10):
        first = page_of(client, closed)
    images = images_in(first.content.decode())
    with django_assert_num_queries(0):
        for _ in range(50):
            assert page_of(client, closed).content == first.content
            client.get(images[0])
        page_of(client, closed, won="after")  # what was read is enough for each of its pages


def test_what_a_query_makes_up_is_one_page_with_no_query(client, closed):
    first = page_of(client, closed).content
    for query in ({"won": "<script>"}, {"page": "9999"}, {"generator": "7"}, {"x": "1"}):
        assert page_of(client, closed, **query).content == first
    assert page_of(client, closed, won="before").content != first


def test_a_page_and_an_image_that_did_not_change_are_not_sent_again(client, closed):
    page = page_of(client, closed)
    image = client.get(images_in(page.content.decode())[0])
    assert page.headers["Cache-Control"] == f"public, max-age={FRESH}, must-revalidate"
    assert image.headers["Cache-Control"] == page.headers["Cache-Control"]
    for response in (page, image):
        again = client.get(response.request["PATH_INFO"], headers={"If-None-Match": response.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b"")


def test_new_votes_are_on_the_page_as_soon_as_it_is_made_again(client, project, generators, alice):
    study = publish_study(asked_study(project, generators, captions=4), by=None)
    before = page_of(client, study).content
    answer_study(study, alice, generators)
    assert page_of(client, study).content == before  # for FRESH seconds
    cache.clear()
    assert page_of(client, study).content != before


def test_a_study_that_is_drawing_shows_that_nobody_was_asked(client, study):
    Study.objects.filter(pk=study.pk).update(state="drawing", opened_at=None)
    assert "Nobody has been asked yet" in page_of(client, study).content.decode()


def test_only_reading_is_allowed(client, closed):
    address = reverse("public-study", args=[closed.public_token])
    assert client.post(address).status_code == 405
    assert client.head(address).status_code == 200
