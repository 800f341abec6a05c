"""A stand-in of the Hugging Face Hub: as much of its API as a model's way there and back takes."""

import base64
import hashlib
import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

TOKEN = "hf_ThisIsTheTokenOfAnn"
_API = re.compile(
    r"/api/models/([^/]+/[^/]+)(?:/(preupload|commit|revision|tree|paths-info)/(.*))?"
)
_FILE = re.compile(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


class Hub:
    """Repositories by name, and what was asked of them."""

    def __init__(self):
        self.files = {}
        """Content by name, of each repository."""
        self.private = {}
        self.gated = set()
        self.commits = []
        """Of each commit: the repository, what was added, what was deleted."""
        self.requests = []
        self.url = ""

    def sha(self, name):
        """The commit that a repository is at."""
        content = repr(sorted(self.files[name].items()))
        return hashlib.sha1(content.encode()).hexdigest()

    def oid(self, content):
        """What git calls a file."""
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@contextmanager
def serving():
    """Run a stand-in on this machine."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args):
            pass

        def answer(self, content, status=200, headers=()):
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **dict(headers)}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def refuse(self, status, code=""):
            self.answer({"error": code or "no"}, status, {"X-Error-Code": code} if code else {})

        def may(self, name):
            """Whether whoever asks may see a repository; it has been refused if not."""
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            if token not in ("", TOKEN):
                self.refuse(401)
            elif name not in hub.files or (hub.private[name] and token != TOKEN):
                self.refuse(404, "RepoNotFound")
            elif name in hub.gated:
                self.refuse(403, "GatedRepo")
            else:
                return True
            return False

        def read(self):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))

        def note(self):
            hub.requests.append((self.command, self.path))
            return unquote(urlsplit(self.path).path)

        def do_HEAD(self):
            self.do_GET()

        def do_GET(self):
            path = self.note()
            if match := _FILE.fullmatch(path):
                self.send_file(*match.groups())
            elif match := _API.fullmatch(path):
                name, kind, revision = match.groups()
                if not self.may(name):
                    return
                if kind == "revision" and revision not in ("main", hub.sha(name)):
                    return self.refuse(404, "RevisionNotFound")
                self.answer(self.tree(name) if kind == "tree" else self.about(name))
            else:
                self.refuse(404)

        def send_file(self, name, revision, file):
            if not self.may(name):
                return
            if revision not in ("main", hub.sha(name)):
                return self.refuse(404, "RevisionNotFound")
            if file not in hub.files[name]:
                return self.refuse(404, "EntryNotFound")
            content = hub.files[name][file]
            headers = {"ETag": f'"{hub.oid(content)}"', "X-Repo-Commit": hub.sha(name)}
            if match := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
                first, last = int(match[1]), int(match[2] or len(content) - 1)
                headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
                return self.answer(content[first : last + 1], 206, headers)
            self.answer(content, 200, headers)

        def about(self, name):
            siblings = [
                {"rfilename": file, "size": len(content), "blobId": hub.oid(content)}
                for file, content in hub.files[name].items()
            ]
            return {
                **{"id": name, "modelId": name, "sha": hub.sha(name), "tags": []},
                **{"private": hub.private[name], "siblings": siblings},
            }

        def tree(self, name):
            return [
                {"type": "file", "path": file, "size": len(content), "oid": hub.oid(content)}
                for file, content in hub.files[name].items()
            ]

        def do_POST(self):
            path, body = self.note(), self.read()
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            if path == "/api/validate-yaml":
                return self.answer({"errors": [], "warnings": []})
            if token != TOKEN:
                return self.refuse(401)
            if path == "/api/repos/create":
                return self.create(json.loads(body))
            match = _API.fullmatch(path)
            name, kind, _ = match.groups() if match else ("", "", "")
            if not self.may(name):
                return
            if kind == "preupload":
                asked = [each["path"] for each in json.loads(body)["files"]]
                self.answer({"files": [self.describe_upload(name, each) for each in asked]})
            elif kind == "paths-info":
                self.answer(self.tree(name))
            elif kind == "commit":
                self.commit(name, [json.loads(line) for line in body.splitlines()])

        def describe_upload(self, name, file):
            about = {"path": file, "uploadMode": "regular", "shouldIgnore": False}
            there = hub.files[name].get(file)
            return about if there is None else about | {"oid": hub.oid(there)}

        def create(self, asked):
            owner = asked.get("organization") or "ann"
            name = f"{owner}/{asked['name']}"
            if owner != "ann":
                return self.refuse(403)
            if name in hub.files:
                return self.answer({"error": "there", "url": f"{hub.url}/{name}"}, 409)
            private = asked.get("private")
            hub.private[name] = asked.get("visibility") == "private" if private is None else private
            hub.files[name] = {".gitattributes": b"*.onnx filter=lfs\n"}
            self.answer({"url": f"{hub.url}/{name}", "name": name, "id": name})

        def commit(self, name, lines):
            files = [line["value"] for line in lines if line["key"] == "file"]
            deleted = [line["value"]["path"] for line in lines if line["key"] == "deletedFile"]
            added = {each["path"]: base64.b64decode(each["content"]) for each in files}
            hub.files[name] |= added
            for file in deleted:
                del hub.files[name][file]
            hub.commits.append((name, added, deleted))
            sha = hub.sha(name)
            self.answer({"commitUrl": f"{hub.url}/{name}/commit/{sha}", "commitOid": sha})

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
