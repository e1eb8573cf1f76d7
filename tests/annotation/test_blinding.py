"""What annotators can find out about where images come from: nothing, whatever they look at."""

import io
import re
from collections import defaultdict
from uuid import UUID

import PIL.ExifTags
import PIL.Image
import PIL.PngImagePlugin
import pytest
from django.db import connection
from django.test import Client

from annotation.models import Assignment, Generation, Image
from annotation.services.assignments.assignments import open_assignments
from annotation.services.projects.projects import add_member
from annotation.services.projects.prompts import NewImage, add_generations, add_prompts
from demo.browser import _PageReader
from tests.annotation.posts import address, begin, filled_in, left_as_draft
from tests.annotation.test_api import signed_in

GENERATORS = ("alpha-diffusion-1", "beta-diffusion-2", "gamma-diffusion-3")
FIRST_ID = 7_000_001  # of generations: a number that nothing else on a page has
SECRETS = (*GENERATORS, "70000", "71234567", "71,234,567", "987654", "a-sampler", "a-folder", "image-maker")
TASKS = 4


def file_by(number, take):
    """A picture whose file says who made it, wherever its format has room for it."""
    told = PIL.PngImagePlugin.PngInfo()
    told.add_text("parameters", GENERATORS[number])
    exif = PIL.Image.Exif()
    exif[PIL.ExifTags.Base.Software] = GENERATORS[number]
    file = io.BytesIO()
    kind = ("PNG", "JPEG", "WEBP")[number]
    picture = PIL.Image.new("RGB", (8, 8), (40 * number, 40 * take, 128))
    picture.save(file, kind, pnginfo=told, exif=exif, xmp=GENERATORS[number].encode())
    assert GENERATORS[number].encode() in file.getvalue()
    return file.getvalue()


def new_image(number, take):
    source = f"a-folder/{take}-{number}"
    return NewImage(file_by(number, take), source, GENERATORS[number], 987654, {"sampler": "a-sampler"})


@pytest.fixture
def two_projects(a_project, alice, rita):
    """The same pictures, imported in opposite orders of their generators; alice annotates both."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT setval(pg_get_serial_sequence('annotation_generation', 'id'), %s)", [FIRST_ID])
    projects = [a_project(), a_project()]
    for project, order in zip(projects, ((0, 1, 2), (2, 1, 0)), strict=True):
        add_member(project=project, user=alice, role="annotator")
        add_member(project=project, user=rita, role="inspector")
        texts = {f"p{take}": f"a fox, take {take}" for take in range(TASKS)}
        prompts, _ = add_prompts(project=project, texts=texts)
        for take, prompt in enumerate(prompts.values()):
            add_generations(prompt=prompt, images=[new_image(number, take) for number in order])
        open_assignments(prompts=prompts.values())
    Generation.objects.update(score=71234567.0, scored_by="image-maker")
    return projects


def tasks_of(client, annotator, project):
    """Each task of the project in hand, with its page; then it is answered."""
    begin(client, annotator, project)
    for _ in range(TASKS):
        page = client.get(f"/work/{project.slug}/").text
        task = Assignment.objects.get(project=project, annotator=annotator, state="leased")
        yield task, page
        assert client.post(address(task), filled_in(task)).status_code == 302


def secrets_in(text):
    hashes = Image.objects.values_list("sha256", flat=True)
    return [secret for secret in (*SECRETS, *hashes) if secret in text]


def said_of_images(page):
    """By an image's number: every element that is about it, without the number and the random address."""
    reader = _PageReader("/")
    reader.feed(page)
    reader.close()
    said = defaultdict(list)
    for element in reader.elements:
        about = set()
        kept = []
        for name, value in element.attributes.items():
            if name in ("data-number", "data-image", "data-view", "data-at"):
                about.add(int(value))
                value = "N"
            elif found := re.search(r"(?:^(?:rating|slot)-|^Image )(\d+)", value):
                about.add(int(found[1]))
                value = value.replace(found[0], found[0].removesuffix(found[1]) + "N")
            elif name == "src" and value.startswith("/images/"):
                assert UUID(value.removeprefix("/images/")).version == 4  # drawn, not counted
                value = "TOKEN"
            elif name == "class":
                value = value.replace(" current", "")  # the first one in the order shown
            if name != "aria-current":
                kept.append((name, value))
        assert len(about) <= 1
        for number in about:
            said[number].append((element.tag, kept))
    return dict(said)


def test_a_page_says_the_same_of_every_image_in_whatever_order_they_came(client, alice, two_projects):
    for project in two_projects:
        for task, page in tasks_of(client, alice, project):
            assert secrets_in(page) == []
            said = said_of_images(page)
            assert set(said) == {1, 2, 3}
            assert said[1] == said[2] == said[3]
            shown = re.findall(r'src="/images/([^"]+)".*? data-image="(\d)" data-view', page)
            tokens = dict(task.prompt.generations.values_list("pk", "image__token"))
            assert shown == [(str(tokens[pk]), str(number)) for number, pk in enumerate(task.order, 1)]


def test_the_numbers_follow_no_order_of_generators(client, alice, two_projects):
    orders = [task.order for project in two_projects for task, _ in tasks_of(client, alice, project)]
    # Chance leaves all eight sorted in one case of 1.7 million.
    assert any(order != sorted(order) for order in orders)


def test_a_file_and_its_headers_say_the_same_whoever_made_it(client, alice, two_projects):
    client.force_login(alice)
    headers = set()
    for image in Image.objects.all():
        page = client.get(f"/images/{image.token}", headers={"X-Request-ID": "one-for-all"})
        assert secrets_in(b"".join(page.streaming_content).decode("latin-1")) == []
        told = dict(page.headers)
        assert secrets_in(str(told)) == []
        assert told.pop("ETag") == f'"{image.token}"'
        assert told.pop("Content-Length") == str(image.bytes)
        headers.add(str(told).replace(image.format, "FORMAT"))
    assert Image.objects.count() == 3 * TASKS
    assert len(headers) == 1


def test_refusals_and_drafts_know_images_by_number_alone(client, alice, two_projects):
    task, _ = next(tasks_of(client, alice, two_projects[0]))
    wrong = filled_in(task, slots=[1, 1, 1], overall=[1, 9, 3], **{f"slot-{FIRST_ID}": "1"})
    refused = client.post(address(task), wrong)
    assert refused.status_code == 422
    assert secrets_in(refused.text) == []
    told = left_as_draft(task, **{"slot-1": "2", f"slot-{task.order[1]}": "3", "rating-3-overall": "4"})
    assert client.post(address(task) + "draft/", told).status_code == 204
    page = client.get(f"/work/{task.project.slug}/").text
    assert secrets_in(page) == []
    assert 'name="rating-3-overall" value="4" checked' in page


def test_the_api_tells_annotators_and_inspectors_nothing_of_images(alice, rita, ada, two_projects):
    schema = signed_in(ada).get("/api/v1/schema/", HTTP_ACCEPT="application/json").json()
    paths = [path for path, methods in schema["paths"].items() if "get" in methods]
    assert len(paths) > 3
    for person in (alice, rita):
        for path in paths:
            asked = signed_in(person).get(
                re.sub(r"{(\w+)}", "1", path.replace("{slug}", two_projects[0].slug))
            )
            assert asked.status_code in (200, 403, 404)
            # Inspectors read the reward model's name beside figures of the whole project, as on its pages.
            is_analysis = path.endswith(("/agreement/", "/leaderboard/"))
            named = ["image-maker"] if person == rita and is_analysis else []
            assert secrets_in(asked.content.decode()) == named


def test_an_inspector_sees_answers_and_not_whose_images_they_are_about(client, alice, rita, two_projects):
    list(tasks_of(client, alice, two_projects[0]))
    inspecting = Client()
    inspecting.force_login(rita)
    queue = inspecting.get("/inspect/").text
    answer = inspecting.get(f"/inspect/{Assignment.objects.filter(state='submitted').first().pk}/").text
    assert answer.count('alt="Image ') == 3
    assert secrets_in(queue + answer) == []


def test_small_versions_tell_no_more_than_the_pictures(alice, two_projects, settings, tmp_path):
    settings.THUMBNAIL_CACHE_DIR = tmp_path
    client = Client()
    client.force_login(alice)
    file = io.BytesIO()
    exif = PIL.Image.Exif()
    exif[PIL.ExifTags.Base.Software] = GENERATORS[0]
    PIL.Image.new("RGB", (900, 600), "teal").save(file, "JPEG", exif=exif, comment=GENERATORS[0].encode())
    prompt = two_projects[0].prompts.first()
    (large,) = add_generations(prompt=prompt, images=[NewImage(file.getvalue(), "a-folder/x", GENERATORS[0])])
    for image in (large.image, *Image.objects.filter(generations__prompt=prompt)):
        image.refresh_from_db()
        answer = client.get(f"/images/{image.token}/small")
        content = b"".join(answer.streaming_content)
        assert secrets_in(content.decode("latin-1")) == []
        assert secrets_in(str(answer.headers)) == []
