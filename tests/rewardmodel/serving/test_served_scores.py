"""Scores over the API, by a real scorer process: who gets them, what is refused, and what faults do."""

import base64
import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path
from shutil import copytree
from threading import Barrier

import psutil
import pytest
import torch
from django.conf import settings as at_start
from django.utils import timezone
from rest_framework.test import APIClient

from annotation.models import Generation, Image
from annotation.services.people.tokens import issue_token
from rewardmodel.api.scores import PROMPT_LENGTH
from rewardmodel.learning import load
from rewardmodel.services.checkpoints import promote, register_checkpoint
from rewardmodel.serving import client as scorers
from rewardmodel.serving import protocol, server
from rewardmodel.serving.client import ClientGone, ScorerLost, request_scores
from tests.cast import NOW, huge_png, picture
from tests.rewardmodel.conftest import WORDS

TEXT = "red circle number"
KEY = at_start.SCORER_KEY


class ScorerProcess:
    """`manage.py serve_scores` at an address of its own."""

    def __init__(self, folder, *options, **environment):
        self.address = str(folder / "scorer.sock")
        self.command = [sys.executable, "manage.py", "serve_scores", "--listen", self.address, *options]
        self.environment = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, env=self.environment, start_new_session=True)
        deadline = time.monotonic() + 60
        while not self.answers():
            assert self.process.poll() is None, "the scorer ended while starting"
            if time.monotonic() > deadline:
                self.process.kill()
                pytest.fail("the scorer did not answer")
            time.sleep(0.05)

    def answers(self):
        try:
            return bool(self.told())
        except scorers.NoScorer:
            return False

    def told(self):
        return scorers.status(self.address, key=KEY)

    def stop(self):
        self.process.terminate()
        return self.process.wait(timeout=20)


@pytest.fixture(scope="module")
def scorer(tmp_path_factory):
    scorer = ScorerProcess(tmp_path_factory.mktemp("scorer"), SCORER_WAITING="40")
    yield scorer
    assert scorer.stop() == 0


@pytest.fixture
def served(settings, scorer, encoder):
    """A project whose promoted model the scorer serves."""
    settings.SCORERS = [scorer.address]
    promote(encoder, now=NOW)
    return encoder


@pytest.fixture
def model(encoder_folder):
    return load(encoder_folder, device="cpu")


def client_of(user, **token):
    _, secret = issue_token(user=user, name="program", days=None, now=timezone.now(), **token)
    return APIClient(headers={"Authorization": f"Bearer {secret}"})


def encoded(content):
    return base64.b64encode(content).decode()


def question(project, *files, **fields):
    return {
        "project": project.slug,
        "prompt": TEXT,
        "images": [{"data": encoded(file)} for file in files],
        **fields,
    }


def post(user, sent, **token):
    return client_of(user, **token).post("/api/v1/scores", sent, format="json")


def expected(model, tmp_path, prompts, files):
    paths = [tmp_path / f"{number}.png" for number in range(len(files))]
    for path, file in zip(paths, files, strict=True):
        path.write_bytes(file)
    return pytest.approx(model.score_pairs(prompts, paths), abs=1e-5)


FILES = [picture(1), picture(90_000, size=(40, 24)), picture(200, "WEBP", (30, 61))]


def test_an_image_without_bytes_is_asked_about_though_the_scorer_has_answered_already():
    here, there = socket.socketpair()
    with here, there:
        asking, answering = (protocol.Channel(end, key=KEY, proof=b"") for end in (here, there))
        answering.send({"unreadable": {"0": "it is no image"}})
        there.close()
        asking.send_bytes(b"")
        assert asking.receive() == {"unreadable": {"0": "it is no image"}}


def test_the_longest_prompts_that_may_be_asked_reach_the_scorer():
    prompts = [PROMPT_LENGTH * "\N{FOX FACE}"] * at_start.SCORES_MAX_IMAGES
    here, there = socket.socketpair()
    with here, there, ThreadPoolExecutor(1) as pool:
        heard = pool.submit(protocol.listen, there, key=KEY)
        protocol.ask(here, {"prompts": prompts}, key=KEY)
        assert heard.result()[1]["prompts"] == prompts


def test_scores_are_those_of_the_library_with_ranks(served, project, ada, model, tmp_path):
    response = post(ada, question(project, *FILES))
    assert response.status_code == 200, response.json()
    answer = response.json()
    scores = [row["score"] for row in answer["scores"]]
    assert scores == expected(model, tmp_path, [TEXT] * 3, FILES)
    assert [row["rank"] for row in answer["scores"]] == [1 + sorted(scores)[::-1].index(s) for s in scores]
    assert answer["checkpoint"] == "encoder"
    assert not any(row["truncated"] for row in answer["scores"])


def test_scores_say_where_they_stand_where_the_model_knows(served, project, ada, referenced):
    answer = post(ada, question(project, *FILES)).json()
    assert (answer["over"], {row["percentile"] for row in answer["scores"]}) == ("", {None})
    promote(register_checkpoint(project=project, name="known", folder=str(referenced)), now=NOW)
    answer = post(ada, question(project, *FILES)).json()
    assert answer["over"] == "the median of the images it was validated on"
    for row in answer["scores"]:
        assert row["percentile"] == pytest.approx(min(100, max(0, 50 * (row["score"] + 1))))
        assert row["preferred"] == pytest.approx(1 / (1 + math.exp(-row["score"] / 0.5)))


def test_a_form_has_one_prompt_or_one_a_file_and_ranks_are_within_a_prompt(
    served, project, ada, model, tmp_path
):
    uploads = [tmp_path / f"upload-{number}" for number in range(3)]
    for path, file in zip(uploads, FILES, strict=True):
        path.write_bytes(file)

    def send(prompts):
        files = [path.open("rb") for path in uploads]
        sent = {"project": project.slug, "prompt": prompts, "images": files}
        return client_of(ada).post("/api/v1/scores", sent, format="multipart")

    prompts = ["red", "circle", "red"]
    rows = send(prompts).json()["scores"]
    assert [row["score"] for row in rows] == expected(model, tmp_path, prompts, FILES)
    assert rows[1]["rank"] == 1
    assert {rows[0]["rank"], rows[2]["rank"]} == {1, 2}
    assert {row["rank"] for row in send([TEXT]).json()["scores"]} == {1, 2, 3}
    assert send(["red", "circle"]).status_code == 400


def test_images_of_the_project_are_named_by_their_ids_and_have_their_own_prompt(
    served, project, ada, a_prompt, a_project, model, tmp_path
):
    images = list(a_prompt(2, opened=False).generations.select_related("image", "prompt"))
    sent = {"project": project.slug, "images": [{"generation": one.pk} for one in images]}
    scores = [row["score"] for row in post(ada, sent).json()["scores"]]
    files = [one.image.file.open().read() for one in images]
    assert scores == expected(model, tmp_path, [images[0].prompt.text] * 2, files)

    another = a_prompt(1, project=a_project(), opened=False).generations.get()
    refused = post(ada, {"project": project.slug, "images": [{"generation": another.pk}]})
    assert (refused.status_code, list(refused.json()["images"])) == (400, ["0"])

    Generation.objects.filter(pk=images[1].pk).update(image=None)
    assert list(post(ada, sent).json()["images"]) == ["1"]


def test_a_prompt_that_is_too_long_is_scored_and_flagged(served, project, ada):
    sent = question(project, *FILES[:2])
    sent["images"][1]["prompt"] = "red " * 60
    assert [row["truncated"] for row in post(ada, sent).json()["scores"]] == [False, True]


def test_researchers_get_scores_and_nobody_else_of_the_project_does(served, project, rosa, alice, rita, eve):
    sent = question(project, FILES[0])
    assert post(rosa, sent).status_code == 200
    assert post(rosa, sent, reads_only=True).status_code == 200  # asking changes nothing
    assert [post(person, sent).status_code for person in (alice, rita, eve)] == [404, 404, 404]
    assert APIClient().post("/api/v1/scores", sent, format="json").status_code == 401


def test_a_project_of_others_is_not_there(served, ada, rosa, a_project):
    assert post(rosa, question(a_project(), FILES[0])).status_code == 404


def test_a_project_without_a_promoted_model_says_so(settings, scorer, project, encoder, ada):
    settings.SCORERS = [scorer.address]
    response = post(ada, question(project, FILES[0]))
    assert (response.status_code, "promote" in response.json()["detail"]) == (409, True)


def test_broken_images_are_named_and_hurt_nobody_elses_request(served, scorer, project, ada):
    whole = picture(5, size=(64, 64))
    bad = [whole, whole[:90], b"", b"GIF89a", huge_png()]
    with ThreadPoolExecutor(1) as pool:
        theirs = pool.submit(ask, scorer, served.location, images=30)
        response = post(ada, question(project, *bad))
        assert len(theirs.result().scores) == 30
    assert (response.status_code, sorted(response.json()["images"])) == (422, ["1", "2", "3", "4"])
    assert "broken" in response.json()["images"]["1"][0]
    assert "pixels" in response.json()["images"]["4"][0]


@pytest.mark.parametrize(
    "change",
    [
        {"images": []},
        {"images": [{"data": "!"}]},
        {"images": [{}]},
        {"images": [{"generation": 10**30}]},
        {"images": "red"},
        {"prompt": "a\0b"},
        {"prompt": None},
    ],
)
def test_a_question_that_is_wrong_is_refused(served, project, ada, change):
    assert post(ada, {**question(project, FILES[0]), **change}).status_code == 400


def test_requests_are_of_limited_size(served, project, ada, settings):
    settings.SCORES_MAX_IMAGES = 2
    assert post(ada, question(project, *FILES)).status_code == 413
    assert post(ada, question(project, *FILES[:2])).status_code == 200
    settings.SCORES_MAX_BYTES = 100
    assert post(ada, question(project, FILES[0])).status_code == 413


def test_a_short_request_may_not_name_images_of_more_bytes_than_may_be_sent(
    served, project, ada, a_prompt, settings
):
    image = a_prompt(1, opened=False).generations.get()
    sent = {"project": project.slug, "images": [{"generation": image.pk}] * 3}
    settings.SCORES_MAX_BYTES = 1000 + 3 * image.image.bytes
    assert post(ada, sent).status_code == 200
    Image.objects.update(bytes=settings.SCORES_MAX_BYTES)
    assert post(ada, sent).status_code == 413


def ask(scorer, encoder_folder, images=1, **options):
    return request_scores(
        key=KEY, location=str(encoder_folder), prompts=["red"] * images, images=[picture(7)] * images,
        **{"scorers": [scorer.address], "seconds": 30, "most_waiting": 99, **options},
    )  # fmt: skip


def batches(scorer):
    return {(images, requests): count for images, requests, count in scorer.told()["batches"]}


def test_what_waits_together_is_scored_together(scorer, encoder_folder):
    ask(scorer, encoder_folder)
    before = batches(scorer)
    with ThreadPoolExecutor(8) as pool:
        for _ in range(20):
            list(pool.map(lambda _: ask(scorer, encoder_folder), range(8)))
    shared = {sizes for sizes, count in batches(scorer).items() if count > before.get(sizes, 0)}
    assert any(requests > 1 for _, requests in shared)
    assert all(images >= requests for images, requests in shared)
    assert batches(scorer)[1, 1] >= 1  # whoever is alone waits for nobody


def test_more_images_than_may_wait_are_refused_until_there_is_room(served, scorer, project, ada):
    held = protocol.connect(scorer.address, seconds=5)
    channel = protocol.ask(
        held, {"ask": "scores", "location": served.location, "prompts": ["red"], "sizes": [10], "seconds": 5},
        key=KEY,
    )  # fmt: skip
    assert channel.receive() == {"go": True}  # one image that does not come yet: 39 may beside it
    refused = post(ada, question(project, *[FILES[0]] * 40))
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "2")
    held.close()
    assert post(ada, question(project, *[FILES[0]] * 40)).status_code == 200


def test_a_process_waits_for_no_more_requests_than_it_may(served, project, ada, settings):
    settings.SCORES_AT_ONCE = 0
    refused = post(ada, question(project, FILES[0]))
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "2")


def test_without_a_scorer_or_with_another_key_there_are_no_scores(served, project, ada, settings, tmp_path):
    alive = settings.SCORERS
    settings.SCORERS = [str(tmp_path / "nobody.sock")]
    refused = post(ada, question(project, FILES[0]))
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "2")
    settings.SCORERS = [*settings.SCORERS, *alive]  # the next is asked
    assert post(ada, question(project, FILES[0])).status_code == 200
    settings.SCORER_KEY = b"another"
    assert post(ada, question(project, FILES[0])).status_code == 503


def test_a_newly_promoted_model_answers_at_once(served, project, ada, model, tmp_path):
    assert post(ada, question(project, FILES[0])).json()["checkpoint"] == "encoder"
    folder = changed(served.location, tmp_path / "newer", by=1.0)
    promote(register_checkpoint(project=project, name="newer", folder=str(folder)), now=NOW)
    answer = post(ada, question(project, FILES[0])).json()
    assert answer["checkpoint"] == "newer"
    (old,) = model.score_pairs([TEXT], [write(tmp_path, FILES[0])])
    assert answer["scores"][0]["score"] == pytest.approx(old - 1, abs=1e-5)

    changed(served.location, folder, by=2.0)  # other weights at the same place
    answer = post(ada, question(project, FILES[0])).json()
    assert answer["scores"][0]["score"] == pytest.approx(old - 2, abs=1e-5)


def write(folder, content):
    path = folder / "one.png"
    path.write_bytes(content)
    return path


def changed(location, folder, *, by):
    """The same model whose scores are lower by so much."""
    copytree(location, folder, dirs_exist_ok=True)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "mean": by}))
    return folder


def test_a_broken_checkpoint_is_named(served, project, ada, tmp_path):
    folder = copytree(served.location, tmp_path / "broken")
    (folder / "model.safetensors").write_bytes(b"nothing")
    promote(register_checkpoint(project=project, name="broken", folder=str(folder)), now=NOW)
    response = post(ada, question(project, FILES[0]))
    assert (response.status_code, "model.safetensors" in response.json()["detail"]) == (409, True)


def test_scores_that_are_no_numbers_are_refused(served, project, ada, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = copytree(served.location, tmp_path / "nan")
    weights = load_file(folder / "model.safetensors")
    weights["mlp.layers.0.bias"] = torch.full_like(weights["mlp.layers.0.bias"], float("nan"))
    save_file(weights, folder / "model.safetensors")
    promote(register_checkpoint(project=project, name="nan", folder=str(folder)), now=NOW)
    response = post(ada, question(project, FILES[0]))
    assert (response.status_code, "finite" in response.json()["detail"]) == (409, True)


def test_a_killed_scorer_is_told_at_once_and_the_next_one_answers(encoder_folder, tmp_path):
    scorer = ScorerProcess(tmp_path)
    try:
        ask(scorer, encoder_folder)
        os.kill(scorer.process.pid, signal.SIGSTOP)  # takes the request in no more ...
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(ask, scorer, encoder_folder)
            time.sleep(0.3)
            begun = time.monotonic()
            scorer.process.kill()  # ... and dies with it
            with pytest.raises(ScorerLost):
                waiting.result()
            assert time.monotonic() - begun < 1
        scorer.process.wait()
        scorer.start()
        assert len(ask(scorer, encoder_folder).scores) == 1
    finally:
        scorer.process.kill()
        scorer.process.wait()


@pytest.fixture
def slow_folder(encoder_folder, tmp_path):
    """A model that takes about a second for 32 images."""
    from rewardmodel.learning import checkpoints
    from rewardmodel.learning.checkpoints.folder import CheckpointConfig
    from rewardmodel.learning.model.backbones.blip import BlipConfig
    from rewardmodel.learning.model.backbones.config import TextConfig, VisionConfig
    from rewardmodel.learning.model.heads import HeadConfig
    from rewardmodel.learning.model.reward import RewardModel

    torch.manual_seed(4)
    backbone = BlipConfig(
        vision=VisionConfig(64, 4, width=192, layers=4, heads=4, feed_forward=768),
        text=TextConfig(len(WORDS), positions=35, width=16, layers=2, heads=2, feed_forward=32),
        head=HeadConfig((16, 8), (0.1,)),
    )
    tokenizer = checkpoints.load(encoder_folder).tokenizer
    reward_model = RewardModel(backbone)
    for parameter in reward_model.parameters():
        torch.nn.init.normal_(parameter, std=1.0)  # scores far apart
    config = CheckpointConfig(backbone)
    checkpoints.save(tmp_path / "slow", model=reward_model, tokenizer=tokenizer, config=config)
    return tmp_path / "slow"


def test_a_scorer_killed_amid_a_batch_loses_what_it_had_and_mixes_nothing_up(slow_folder, tmp_path):
    model = load(slow_folder, device="cpu")
    prompts = ["red", "circle", "number", "red circle", "red number"]
    files = [picture(shade, size=(64, 64)) for shade in (3, 200, 60_000, 90_000, 12_000_000)]

    def ask_four(number):
        asked = {
            "location": str(slow_folder),
            "prompts": [prompts[number]] * 4,
            "images": [files[number]] * 4,
        }
        try:
            return request_scores(
                scorers=[scorer.address], key=KEY, seconds=60, most_waiting=99, **asked
            ).scores
        except scorers.Unavailable as error:
            return error

    wanted = []
    for text, file in zip(prompts, files, strict=True):
        wanted += model.score_pairs([text], [write(tmp_path, file)])
    assert min(abs(one - other) for one, other in combinations(wanted, 2)) > 0.1
    scorer = ScorerProcess(tmp_path, SCORER_BATCH="8")
    try:
        assert ask_four(0) == [pytest.approx(wanted[0], abs=0.01)] * 4
        with ThreadPoolExecutor(5) as pool:
            rounds = [pool.submit(ask_four, number) for _ in range(4) for number in range(5)]
            done = scorer.told()["images"]
            wait_for(lambda: scorer.told()["images"] > done)
            scorer.process.kill()
            begun = time.monotonic()
            answers = [one.result() for one in rounds]
        assert time.monotonic() - begun < 2
        assert any(isinstance(answer, ScorerLost) for answer in answers)
        scorer.process.wait()
        scorer.start()
        with ThreadPoolExecutor(5) as pool:
            answers += pool.map(ask_four, range(5))
        assert not any(isinstance(answer, Exception) for answer in answers[-5:])
        for number, answer in enumerate(answers):
            if not isinstance(answer, Exception):
                assert answer == [pytest.approx(wanted[number % 5], abs=0.01)] * 4
    finally:
        scorer.process.kill()
        scorer.process.wait()


def wait_for(is_so):
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_scorer_that_cannot_load_anything_says_why(encoder_folder, tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('no torch here')\n")
    scorer = ScorerProcess(tmp_path, PYTHONPATH=str(tmp_path))
    try:
        with pytest.raises(ScorerLost, match=r"cannot work \(ImportError: no torch here"):
            ask(scorer, encoder_folder)
    finally:
        scorer.stop()


def test_who_hangs_up_is_not_waited_for_and_what_comes_too_late_is_dropped(scorer, encoder_folder):
    import socket

    near, far = socket.socketpair()
    far.close()
    with near, pytest.raises(ClientGone):
        ask(scorer, encoder_folder, images=8, client=near)
    with pytest.raises(scorers.TimedOut):
        ask(scorer, encoder_folder, images=8, seconds=0)
    deadline = time.monotonic() + 10
    while scorer.told()["waiting"] and time.monotonic() < deadline:
        time.sleep(0.02)
    assert scorer.told()["waiting"] == 0


def test_a_scorer_may_load_what_is_promoted_before_anybody_asks(processes, encoder, project, tmp_path):
    broken = register_checkpoint(project=project, name="broken", folder=str(tmp_path / "nothing"))
    promote(broken, now=NOW)
    with_broken = ScorerProcess(tmp_path, "--warm", SECRET_KEY=at_start.SECRET_KEY)
    assert with_broken.told()["models"] == []
    assert with_broken.stop() == 0
    promote(encoder, now=NOW)
    warm = ScorerProcess(tmp_path, "--warm", SECRET_KEY=at_start.SECRET_KEY)
    assert [model["location"] for model in warm.told()["models"]] == [encoder.location]
    assert warm.stop() == 0


def test_a_scorer_gives_way_to_pages_where_it_is_told_to(tmp_path):
    scorer = ScorerProcess(tmp_path, "--nice", "7")
    try:
        assert psutil.Process(scorer.process.pid).nice() == psutil.Process().nice() + 7
        grouped = Path(f"/proc/{scorer.process.pid}/autogroup")
        assert not grouped.exists() or grouped.read_text().endswith("nice 7\n")
    finally:
        assert scorer.stop() == 0


def test_a_scorer_whose_host_is_gone_is_given_up_in_seconds_and_asked_last_for_a_while(
    scorer, encoder_folder, tmp_path
):
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        protocol.connect(listening.getsockname(), seconds=5) as connection,
    ):
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        for name, value in protocol.GONE.items():
            assert connection.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) == value
    both = [str(tmp_path / "nobody.sock"), scorer.address]
    begun = time.monotonic()
    assert scorers._in_order(both, now=begun) == both
    assert len(ask(scorer, encoder_folder, scorers=both).scores) == 1
    assert scorers._in_order(both, now=begun) == both[::-1]
    assert scorers._in_order(both, now=time.monotonic() + scorers.LAST_SECONDS) == both


def test_two_scorers_do_not_share_an_address(scorer):
    second = subprocess.run(scorer.command, env=scorer.environment, capture_output=True, text=True)
    assert second.returncode == 1
    assert "another scorer listens" in second.stderr


def test_readiness_tells_of_the_scorer_and_does_not_need_it(client, served, settings, tmp_path):
    assert client.get("/readyz").json()["scorer"] is True
    settings.SCORERS = [str(tmp_path / "nobody.sock")]
    response = client.get("/readyz")
    assert (response.status_code, response.json()["scorer"]) == (200, False)


def test_scorers_that_hang_hold_readiness_up_once_and_not_each(client, settings, tmp_path, db):
    settings.SCORERS = [str(tmp_path / f"{number}.sock") for number in range(3)] + ["no address"]
    hanging = [socket.socket(socket.AF_UNIX) for _ in range(3)]
    for one, address in zip(hanging, settings.SCORERS, strict=False):
        one.bind(address)
        one.listen()
    begun = time.monotonic()
    response = client.get("/readyz")
    assert (response.status_code, response.json()["scorer"]) == (200, False)
    assert time.monotonic() - begun < 2 * scorers.CONNECT_SECONDS
    for one in hanging:
        one.close()


def test_of_two_scorers_that_start_at_once_at_one_address_one_listens(tmp_path):
    together = Barrier(2)

    def start(address):
        together.wait()
        try:
            return server._listener(str(address))
        except server.AlreadyServed:
            return None

    with ThreadPoolExecutor(2) as scorer_processes:
        for number in range(300):
            (listener,) = filter(None, scorer_processes.map(start, [tmp_path / f"{number}.sock"] * 2))
            listener.close()
