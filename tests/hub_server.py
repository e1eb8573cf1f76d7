"""A small hub: an HTTP server that keeps repositories, and speaks as much of the Hub's protocol as it takes
to make one, to send files to it in commits, large ones over LFS, and to fetch them.

Source: huggingface.co/docs/hub/api, and what huggingface_hub 2.4 sends.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import yaml

LARGE = 1000  # bytes from which a file goes over LFS
NAME = r"(?P<kind>models|datasets)/(?P<name>[^/]+/[^/]+)"


class Hub(ThreadingHTTPServer):
    """`repositories`: (kind, owner/name) -> {"private", "files"}; `objects`: of LFS, by sha256."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[tuple[str, str], dict] = {}
        self.objects: dict[str, bytes] = {}
        self.url = f"http://127.0.0.1:{self.server_port}"


@contextmanager
def running() -> Iterator[Hub]:
    with Hub() as hub:
        thread = threading.Thread(target=hub.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if match := re.fullmatch(rf"/api/{NAME}/(revision|tree)/(?P<revision>[^/]+)", path):
            files = self._repository(match)
            if files is not None and match[3] == "tree":
                return self._answer([_entry(name, content) for name, content in sorted(files.items())])
            if files is not None:
                return self._answer(self._info(match))
        if match := re.fullmatch(rf"/api/{NAME}", path):
            files = self._repository(match)
            if files is not None:
                return self._answer(self._info(match))
        if match := re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            kind = "datasets" if match[1] else "models"
            content = self.server.repositories.get((kind, match[2]), {"files": {}})["files"].get(match[4])
            if content is not None:
                return self._send(200, content, {"ETag": f'"{_sha(content)}"', "X-Repo-Commit": COMMIT})
        return self._missing()

    do_HEAD = do_GET

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(urlsplit(self.path).path)
        if path == "/api/repos/create":
            asked = json.loads(body)
            kind = f"{asked.get('type') or 'model'}s"
            name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
            is_new = (kind, name) not in self.server.repositories
            private = asked.get("private", asked.get("visibility") == "private")
            self.server.repositories.setdefault((kind, name), {"private": private, "files": {}})
            prefix = "datasets/" if kind == "datasets" else ""
            return self._answer({"url": f"{self.server.url}/{prefix}{name}"}, 200 if is_new else 409)
        if path == "/api/validate-yaml":
            _, head, _ = json.loads(body)["content"].split("---\n", 2)
            errors = [] if isinstance(yaml.safe_load(head), dict) else [{"message": "no metadata"}]
            return self._answer({"errors": errors, "warnings": []}, 400 if errors else 200)
        if match := re.fullmatch(rf"/api/{NAME}/preupload/[^/]+", path):
            return self._answer(
                {
                    "files": [
                        {
                            "path": file["path"],
                            "uploadMode": "lfs" if file["size"] >= LARGE else "regular",
                            "shouldIgnore": False,
                        }
                        for file in json.loads(body)["files"]
                    ]
                }
            )
        if match := re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
            objects = [
                {**each, "actions": {"upload": {"href": f"{self.server.url}/lfs/{each['oid']}"}}}
                for each in json.loads(body)["objects"]
            ]
            return self._answer({"transfer": "basic", "objects": objects})
        if match := re.fullmatch(rf"/api/{NAME}/commit/[^/]+", path):
            files = self._repository(match)
            if files is not None:
                for line in body.decode().splitlines():
                    entry = json.loads(line)
                    if entry["key"] == "file":
                        files[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
                    elif entry["key"] == "lfsFile":
                        files[entry["value"]["path"]] = self.server.objects[entry["value"]["oid"]]
                    elif entry["key"] == "deletedFile":
                        del files[entry["value"]["path"]]
                url = f"{self.server.url}/{match['name']}/commit/{COMMIT}"
                return self._answer({"commitUrl": url, "commitOid": COMMIT})
        return self._missing()

    def do_PUT(self) -> None:
        body = self._body()
        if _sha(body) != self.path.removeprefix("/lfs/"):
            return self._answer({"error": "not the bytes of that hash"}, 400)
        self.server.objects[_sha(body)] = body
        return self._answer({})

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _repository(self, match: re.Match[str]) -> dict[str, bytes] | None:
        repository = self.server.repositories.get((match["kind"], match["name"]))
        return None if repository is None else repository["files"]

    def _info(self, match: re.Match[str]) -> dict:
        repository = self.server.repositories[match["kind"], match["name"]]
        files = [{"rfilename": path} for path in repository["files"]]
        return {"id": match["name"], "sha": COMMIT, "private": repository["private"], "siblings": files}

    def _answer(self, content: object, status: int = 200) -> None:
        self._send(status, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _missing(self) -> None:
        self._send(404, b"{}", {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


COMMIT = "c" * 40


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _entry(name: str, content: bytes) -> dict:
    return {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
