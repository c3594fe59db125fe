"""A small Hub for the tests: real HTTP on 127.0.0.1, repositories in memory, and faults on demand.

    with HubServer() as hub:
        hub.add_repo("org/name", folder)
        hub.fail("GET", r"/resolve/.*model.safetensors", status=503, times=2)
        ...  # HF_ENDPOINT = hub.url

Each call of the protocol is one function behind `@route`; a later call needs one more function. Files in large-file
storage are served, as the real Hub does, by a redirect to another host name, which must not be shown the token.
"""

import contextlib
import hashlib
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

Files = dict[str, bytes]

LFS_SUFFIXES = (".safetensors", ".bin", ".model", ".gguf")


@dataclass
class Repo:
    """A repository: its commits' files, its branches and tags, and who may read it."""

    name: str
    commits: dict[str, Files]
    refs: dict[str, str]
    private: bool = False
    gated: bool = False
    listed_extra: list[dict[str, Any]] = field(default_factory=list)
    """Entries that the file list shows though they do not exist (`../evil`, for example)."""
    unlisted: set[str] = field(default_factory=set)

    def commit(self, revision: str) -> str | None:
        return self.refs.get(revision, revision if revision in self.commits else None)

    def push(self, files: Files, branch: str = "main") -> str:
        """Add a commit on `branch` with exactly these files."""
        parent = self.refs.get(branch, "")
        content = "".join(f"{path} {git_sha1(data)}\n" for path, data in sorted(files.items()))
        commit = hashlib.sha1(f"{self.name}\n{parent}\n{content}".encode()).hexdigest()
        self.commits[commit] = dict(files)
        self.refs[branch] = commit
        return commit


@dataclass
class Fault:
    """Something that goes wrong with requests whose method and path match, `times` times (None: always)."""

    kind: str
    method: str
    pattern: str
    times: int | None
    value: Any = None


@dataclass
class Request:
    """`path` is as it came, percent signs and all; `headers` have names in lower case."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    @property
    def token(self) -> str | None:
        return self.headers.get("authorization", "").removeprefix("Bearer ") or None


@dataclass
class Reply:
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


def json_reply(content: Any, status: int = 200, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, {"Content-Type": "application/json", **named}, json.dumps(content).encode())


def error(status: int, code: str = "", message: str = "") -> Reply:
    headers = {"X-Error-Code": code} if code else {}
    headers |= {"X-Error-Message": message} if message else {}
    reply = json_reply({"error": message or code or "error"}, status)
    reply.headers |= headers
    return reply


def git_sha1(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def tree_entry(path: str, data: bytes) -> dict[str, Any]:
    """What the `tree` call says of a file."""
    entry: dict[str, Any] = {"type": "file", "path": path, "size": len(data), "oid": git_sha1(data)}
    if path.endswith(LFS_SUFFIXES):
        sha256 = hashlib.sha256(data).hexdigest()
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {len(data)}\n".encode()
        entry["oid"] = git_sha1(pointer)
        entry["lfs"] = {"oid": sha256, "size": len(data), "pointerSize": len(pointer)}
    return entry


def digest_of(path: str, data: bytes) -> str:
    """What the content hashes to: sha256 in large-file storage, else git's blob sha1."""
    entry = tree_entry(path, data)
    return str(entry.get("lfs", entry)["oid"])


Handler = Callable[["HubServer", Request, re.Match[str]], Reply]
ROUTES: list[tuple[str, re.Pattern[str], Handler]] = []


def route(methods: str, pattern: str) -> Callable[[Handler], Handler]:
    """Register a function for paths that `pattern` matches as a whole; `{repo}` stands for a repository's id."""
    compiled = re.compile(pattern.replace("{repo}", r"(?P<repo>[^/]+(?:/[^/]+)?)"))

    def register(handler: Handler) -> Handler:
        ROUTES.extend((method, compiled, handler) for method in methods.split())
        return handler

    return register


@route("GET", r"/api/models/{repo}/tree/(?P<revision>[^/]+)")
def tree(hub: "HubServer", request: Request, match: re.Match[str]) -> Reply:
    found = hub.find(request, match)
    if isinstance(found, Reply):
        return found
    entries = hub.tree(*found)
    start = int(parse_qs(request.query).get("cursor", ["0"])[0])
    end = start + (hub.page_size or len(entries))
    reply = json_reply(entries[start:end])
    if end < len(entries):
        reply.headers["Link"] = f'<{hub.url}{request.path}?recursive=true&cursor={end}>; rel="next"'
    return reply


@route("GET", r"/api/models/{repo}/refs")
def refs(hub: "HubServer", request: Request, match: re.Match[str]) -> Reply:
    found = hub.find(request, match)
    if isinstance(found, Reply):
        return found
    branches = [
        {"name": name, "ref": f"refs/heads/{name}", "targetCommit": commit} for name, commit in found[0].refs.items()
    ]
    return json_reply({"branches": branches, "converts": [], "tags": []})


@route("GET", r"/api/models/{repo}")  # registered last: it would take "name/refs" for an id
@route("GET", r"/api/models/{repo}/revision/(?P<revision>[^/]+)")
def model_info(hub: "HubServer", request: Request, match: re.Match[str]) -> Reply:
    found = hub.find(request, match)
    if isinstance(found, Reply):
        return found
    repo, commit = found
    siblings = [{"rfilename": entry["path"]} for entry in hub.tree(repo, commit)]
    names = {"id": repo.name, "modelId": repo.name, "sha": commit, "private": repo.private}
    return json_reply({**names, "siblings": siblings, "tags": []})


@route("GET", r"/api/whoami-v2")
def whoami(hub: "HubServer", request: Request, match: re.Match[str]) -> Reply:
    if request.token not in hub.tokens:
        return error(401, message="Invalid username or password.")
    orgs = [{"type": "org", "name": name} for name in hub.organizations]
    return json_reply({"type": "user", "name": "tester", "orgs": orgs, "auth": {"accessToken": hub.access}})


@route("GET HEAD", r"/{repo}/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
def resolve(hub: "HubServer", request: Request, match: re.Match[str]) -> Reply:
    found = hub.find(request, match)
    if isinstance(found, Reply):
        return found
    repo, commit = found
    if repo.gated and request.token not in hub.tokens:
        return error(403 if request.token else 401, "GatedRepo", f"Access to model {repo.name} is restricted.")
    data = repo.commits[commit].get(unquote(match["path"]))
    if data is None:
        return error(404, "EntryNotFound", "Entry not found")
    entry = hub.entry(match["path"], data)
    headers = {"X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
    if "lfs" not in entry:
        return ranged(hub, data, headers | {"ETag": f'"{entry["oid"]}"'}, request)
    sha256 = entry["lfs"]["oid"]
    hub.storage[sha256] = data
    headers |= {"X-Linked-Etag": f'"{sha256}"', "X-Linked-Size": str(len(data))}
    # The path repeats the file's name only so that faults can be aimed at it.
    return Reply(302, headers | {"Location": f"{hub.storage_url}/storage/{sha256}/{match['path']}?signature=secret"})


@route("GET HEAD", r"/storage/(?P<sha256>[0-9a-f]{64})/.+")
def storage(hub: "HubServer", request: Request, match: re.Match[str]) -> Reply:
    data = hub.storage.get(match["sha256"])
    return error(404) if data is None else ranged(hub, data, {"ETag": f'"{match["sha256"]}"'}, request)


def ranged(hub: "HubServer", data: bytes, headers: dict[str, str], request: Request) -> Reply:
    wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
    if not wanted or hub.ignores_ranges:
        return Reply(200, headers, data)
    start, end = int(wanted[1]), min(int(wanted[2] or len(data) - 1), len(data) - 1)
    if start >= len(data):
        return Reply(416, headers | {"Content-Range": f"bytes */{len(data)}"})
    return Reply(206, headers | {"Content-Range": f"bytes {start}-{end}/{len(data)}"}, data[start : end + 1])


class HubServer:
    """The server; use it as a context manager."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.renamed: dict[str, str] = {}
        self.tokens: set[str] = set()
        self.organizations = ["org"]
        self.access: dict[str, Any] = {"role": "write"}
        self.storage: dict[str, bytes] = {}
        self.faults: list[Fault] = []
        self.requests: list[Request] = []
        self.commits: list[str] = []
        self.page_size: int | None = None
        self.ignores_ranges = False
        self.connections: list[socket.socket] = []
        self._entries: dict[tuple[str, int], tuple[bytes, dict[str, Any]]] = {}
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _Connection)
        self._http.daemon_threads = True
        self._http.hub = self  # type: ignore[attr-defined]
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Close the port and what was connected to it; from then on connections are refused."""
        if self._thread.is_alive():
            self._http.shutdown()
            self._thread.join()
        self._http.server_close()
        for connection in self.connections:
            with contextlib.suppress(OSError):  # it may be closed already
                connection.shutdown(socket.SHUT_RDWR)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

    @property
    def storage_url(self) -> str:
        return f"http://localhost:{self._http.server_port}"

    def add_repo(
        self, name: str, files: Path | Files, *, private: bool = False, gated: bool = False, branch: str = "main"
    ) -> Repo:
        """Serve a folder, or files given as bytes, as the first commit of a repository."""
        if isinstance(files, Path):
            files = {p.relative_to(files).as_posix(): p.read_bytes() for p in files.rglob("*") if p.is_file()}
        repo = Repo(name, {}, {}, private, gated)
        repo.push(files, branch)
        self.repos[name] = repo
        return repo

    def rename(self, old: str, new: str) -> None:
        """Move a repository; the old name answers with redirects from now on."""
        repo = self.repos.pop(old)
        repo.name = new
        self.repos[new] = repo
        self.renamed[old] = new

    def fail(
        self, method: str, pattern: str, *, status: int, times: int | None = None, headers: dict[str, str] | None = None
    ) -> None:
        """Answer with an error status."""
        self.faults.append(Fault("status", method, pattern, times, (status, headers or {})))

    def flip(self, pattern: str, *, times: int | None = None) -> None:
        """Change one bit of the body of a GET."""
        self.faults.append(Fault("flip", "GET", pattern, times))

    def cut(self, pattern: str, *, after: int, times: int | None = None) -> None:
        """Close the connection after so many bytes of the body of a GET."""
        self.faults.append(Fault("cut", "GET", pattern, times, after))

    def delay(self, pattern: str, *, seconds: float, times: int | None = None) -> None:
        """Wait before the answer."""
        self.faults.append(Fault("delay", "GET", pattern, times, seconds))

    def drip(self, pattern: str, *, after: int = 0, pause: float = 0.05, times: int | None = None) -> None:
        """Send the body of a GET one byte at a time, from a place on."""
        self.faults.append(Fault("drip", "GET", pattern, times, (after, pause)))

    def lose_reply(self, method: str, pattern: str, *, times: int | None = None) -> None:
        """Do what is asked, and break the connection instead of answering."""
        self.faults.append(Fault("lose", method, pattern, times))

    def replace(self, pattern: str, change: Callable[[bytes], bytes], *, times: int | None = None) -> None:
        """Send another body to a GET."""
        self.faults.append(Fault("replace", "GET", pattern, times, change))

    def on_request(self, pattern: str, action: Callable[[], object]) -> None:
        """Do something once, just before such a GET is answered (a push in the middle of a download, for example)."""
        self.faults.append(Fault("action", "GET", pattern, 1, action))

    def asked(self, pattern: str, method: str = "GET") -> list[Request]:
        """The requests so far whose path matches."""
        return [r for r in self.requests if r.method == method and re.search(pattern, r.path)]

    def find(self, request: Request, match: re.Match[str]) -> tuple[Repo, str] | Reply:
        """The repository and commit that a path names, or the refusal."""
        name = match["repo"]
        if name in self.renamed:
            moved = request.path.replace(name, self.renamed[name], 1)
            return Reply(307, {"Location": f"{moved}?{request.query}" if request.query else moved})
        if request.token is not None and request.token not in self.tokens:
            return error(401, message="Invalid credentials in Authorization header")
        repo = self.repos.get(name)
        if repo is None or (repo.private and request.token is None):
            # The Hub does not tell strangers which private names exist.
            return error(404 if request.token else 401, "RepoNotFound", "Repository not found")
        commit = repo.commit(unquote(match.groupdict().get("revision") or "main"))
        if commit is None:
            return error(404, "RevisionNotFound", "Invalid rev id")
        return repo, commit

    def tree(self, repo: Repo, commit: str) -> list[dict[str, Any]]:
        files = repo.commits[commit].items()
        return [self.entry(path, data) for path, data in files if path not in repo.unlisted] + repo.listed_extra

    def entry(self, path: str, data: bytes) -> dict[str, Any]:
        """`tree_entry`, made once for a file of megabytes: each listing would hash it twice."""
        if len(data) < 1 << 20:
            return tree_entry(path, data)
        known = self._entries.get((path, id(data)))
        if known is None or known[0] is not data:
            known = self._entries[path, id(data)] = (data, tree_entry(path, data))
        return known[1]

    def answer(self, request: Request) -> Reply:
        for method, pattern, handler in ROUTES:
            if method == request.method and (match := pattern.fullmatch(request.path)):
                return handler(self, request, match)
        return error(404)

    def take_faults(self, request: Request) -> Iterator[Fault]:
        """The faults that hit this request, used up by one."""
        with self._lock:
            self.requests.append(request)
            hits = []
            for fault in self.faults:
                if fault.method == request.method and re.search(fault.pattern, request.path) and fault.times != 0:
                    fault.times = None if fault.times is None else fault.times - 1
                    hits.append(fault)
        return iter(hits)


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits 40 ms for an acknowledgment

    def setup(self) -> None:
        super().setup()
        self.server.hub.connections.append(self.connection)  # type: ignore[attr-defined]

    def handle_any(self) -> None:
        hub: HubServer = self.server.hub  # type: ignore[attr-defined]
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, parts.path, parts.query, headers, body)
        faults = list(hub.take_faults(request))
        for fault in faults:
            if fault.kind == "action":
                fault.value()
            elif fault.kind == "delay":
                time.sleep(fault.value)
        refused = next((fault for fault in faults if fault.kind == "status"), None)
        reply = error(refused.value[0]) if refused and self.command != "GET" else hub.answer(request)
        if any(fault.kind == "lose" for fault in faults):
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        cut: int | None = None
        drip: tuple[int, float] | None = None
        for fault in faults:
            if fault.kind == "status":
                reply = error(fault.value[0])
                reply.headers |= fault.value[1]
            elif fault.kind == "cut" and reply.status < 300:
                cut = fault.value
            elif fault.kind == "drip" and reply.status < 300:
                drip = fault.value
            elif fault.kind in ("flip", "replace") and reply.status < 300:
                change = fault.value or _flip
                reply = Reply(reply.status, reply.headers, change(reply.body))
        self._send(reply, cut, drip)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = handle_any

    def _send(self, reply: Reply, cut: int | None, drip: tuple[int, float] | None) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if drip is not None:
            cut, pause = drip
            with contextlib.suppress(OSError):  # whoever asked has left, as it should
                self.wfile.write(reply.body[:cut])
                for byte in reply.body[cut:]:
                    self.wfile.flush()
                    time.sleep(pause)
                    self.wfile.write(bytes([byte]))
            self.close_connection = True
            return
        self.wfile.write(reply.body[:cut])
        if cut is not None:
            self.wfile.flush()
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
