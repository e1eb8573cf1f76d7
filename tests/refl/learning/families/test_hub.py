"""Pipelines by the names that the hub gives them, where it answers and where it does not."""

import json
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from refl.learning.families import NotAPipeline
from refl.learning.families.hub import HubUnreachable, inspect_repository, is_hub_id
from refl.learning.families.loading import load_family

COMMIT = "a" * 40


@pytest.mark.parametrize(
    ("text", "is_id"),
    [
        ("CompVis/stable-diffusion-v1-4", True),
        ("somebody/sd@refs/pr/1", True),
        ("somebody/sd@", False),
        ("sd15", False),
        ("a/b/c", False),
        ("/a/b", False),
        ("./b", False),
        ("../b", False),
        ("~/b", False),
        ("a\\b", False),
        ("a/b.safetensors", False),
        ("a/b.ckpt", False),
        ("a/b c", False),
        ("a/", False),
        ("", False),
    ],
)
def test_a_hub_id_is_an_owner_a_name_and_perhaps_a_revision(text, is_id):
    assert is_hub_id(text) is is_id


@pytest.fixture
def hub(pipeline_folder, tmp_path, monkeypatch):
    """A hub that serves the repositories below its folder, and notes the files that were asked for."""
    root, asked = tmp_path / "hub", []

    class Hub(BaseHTTPRequestHandler):
        def do_GET(self):
            self.answer()

        def do_HEAD(self):
            self.answer()

        def answer(self):
            path = self.path.partition("?")[0].strip("/")
            if path.startswith("api/models/"):
                owner, name, *_ = path.removeprefix("api/models/").split("/")
                return self.describe(f"{owner}/{name}", path)
            owner, name, _, _, file = path.split("/", 4)  # owner/name/resolve/revision/file
            content = (root / owner / name / file).read_bytes()
            if self.command == "GET":
                asked.append(file)
            return self.reply(200, content, {"X-Repo-Commit": COMMIT, "ETag": f'"{hash(content)}"'})

        def describe(self, repository, path):
            folder = root / repository
            if not folder.is_dir():
                return self.reply(404, b"{}", {"X-Error-Code": "RepoNotFound"})
            files = [f for f in sorted(folder.rglob("*")) if f.is_file()]
            names = [
                {"type": "file", "path": str(f.relative_to(folder)), "size": f.stat().st_size} for f in files
            ]
            info = {"id": repository, "sha": COMMIT, "siblings": [{"rfilename": n["path"]} for n in names]}
            content = names if "/tree/" in path else info
            return self.reply(
                200, json.dumps([n | {"oid": "0"} for n in names] if content is names else info).encode()
            )

        def reply(self, status, content, headers=()):
            self.send_response(status)
            for name, value in dict(headers).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    shutil.copytree(pipeline_folder, root / "somebody" / "sd")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    yield root, asked
    server.shutdown()
    server.server_close()


def test_a_repository_is_looked_at_without_its_weights(hub):
    _, asked = hub
    assert inspect_repository("somebody/sd").class_name == "StableDiffusionPipeline"
    assert "model_index.json" in asked
    assert not [file for file in asked if file.endswith(".safetensors")]


def test_its_files_are_fetched_to_load_it_and_no_others(hub):
    root, asked = hub
    (root / "somebody" / "sd" / "sd15.safetensors").write_bytes(b"a single file of gigabytes")
    (root / "somebody" / "sd" / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"a pickle")
    (root / "somebody" / "sd" / "unet" / "diffusion_pytorch_model.fp16.safetensors").write_bytes(
        b"not wanted"
    )
    assert load_family("somebody/sd", "cpu").latent_shape == (4, 8, 8)
    assert sorted(Path(file).name for file in asked if "safetensors" in file or "bin" in file) == [
        "diffusion_pytorch_model.safetensors",
        "diffusion_pytorch_model.safetensors",
        "model.safetensors",
    ]


def test_what_cannot_be_tuned_is_refused_before_its_weights_are_fetched(hub):
    root, asked = hub
    index = root / "somebody" / "sd" / "model_index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"_class_name": "PixArtAlphaPipeline"}))
    with pytest.raises(NotAPipeline, match=r"^somebody/sd: model_index\.json: PixArtAlphaPipeline is of no"):
        load_family("somebody/sd", "cpu")
    assert not [file for file in asked if file.endswith(".safetensors")]


def test_a_repository_that_is_not_there_is_refused(hub):
    with pytest.raises(NotAPipeline, match="the hub has no such repository or revision, or hides it"):
        inspect_repository("somebody/sd15")


@pytest.fixture
def unreachable_hub(monkeypatch, tmp_path):
    """A hub that refuses connections, asked without pauses, and an empty cache."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    return tmp_path


def test_a_hub_that_does_not_answer_may_answer_later(unreachable_hub):
    with pytest.raises(HubUnreachable, match="somebody/sd: the hub does not answer"):
        load_family("somebody/sd", "cpu")


def test_what_was_fetched_before_is_loaded_without_the_hub(unreachable_hub, pipeline_folder):
    repository = unreachable_hub / "models--somebody--sd"
    shutil.copytree(pipeline_folder, repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    assert load_family("somebody/sd", "cpu").latent_shape == (4, 8, 8)
    for file in (repository / "snapshots" / COMMIT).rglob("*.safetensors"):
        file.unlink()  # its configurations alone were looked at
    with pytest.raises(HubUnreachable):
        load_family("somebody/sd", "cpu")
