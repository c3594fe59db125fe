"""The calls by which a Hub is written to: repositories, branches, large-file storage, commits."""

import base64
import json
import re
from typing import Any

from .server import LFS_SUFFIXES, HubServer, Reply, Repo, Request, error, json_reply, route


def _writer(hub: HubServer, request: Request) -> Reply | None:
    """The refusal of a request that may not write."""
    return None if request.token in hub.tokens else error(401, message="Invalid username or password.")


@route("POST", r"/api/repos/create")
def create(hub: HubServer, request: Request, match: re.Match[str]) -> Reply:
    if refused := _writer(hub, request):
        return refused
    asked = json.loads(request.body)
    name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
    url = f"{hub.url}/{name}"
    if name in hub.repos:
        return json_reply({"error": "You already created this model repo", "url": url}, 409)
    hub.add_repo(name, {".gitattributes": b"*.safetensors filter=lfs\n"}, private=_is_private(asked))
    return json_reply({"url": url, "name": name})


@route("POST", r"/api/models/{repo}/branch/(?P<branch>[^/]+)")
def branch(hub: HubServer, request: Request, match: re.Match[str]) -> Reply:
    if refused := _writer(hub, request):
        return refused
    repo = hub.repos[match["repo"]]
    if match["branch"] in repo.refs:
        return error(409, message="Reference already exists")
    repo.refs[match["branch"]] = repo.refs["main"]
    return json_reply({}, 201)


@route("POST", r"/api/validate-yaml")
def validate_yaml(hub: HubServer, request: Request, match: re.Match[str]) -> Reply:
    return json_reply({"errors": [], "warnings": []})


@route("POST", r"/api/models/{repo}/preupload/(?P<revision>[^/]+)")
def preupload(hub: HubServer, request: Request, match: re.Match[str]) -> Reply:
    found = hub.find(request, match)
    if isinstance(found, Reply):
        return found
    files = json.loads(request.body)["files"]
    modes = [
        {
            "path": f["path"],
            "uploadMode": "lfs" if f["path"].endswith(LFS_SUFFIXES) else "regular",
            "shouldIgnore": False,
        }
        for f in files
    ]
    return json_reply({"files": modes})


@route("POST", r"/{repo}\.git/info/lfs/objects/batch")
def batch(hub: HubServer, request: Request, match: re.Match[str]) -> Reply:
    if refused := _writer(hub, request):
        return refused
    objects = []
    for wanted in json.loads(request.body)["objects"]:
        entry: dict[str, Any] = {"oid": wanted["oid"], "size": wanted["size"]}
        if wanted["oid"] not in hub.storage:
            entry["actions"] = {"upload": {"href": f"{hub.storage_url}/lfs/{wanted['oid']}?signature=secret"}}
        objects.append(entry)
    return json_reply({"transfer": "basic", "objects": objects})


@route("PUT", r"/lfs/(?P<oid>[0-9a-f]{64})")
def put(hub: HubServer, request: Request, match: re.Match[str]) -> Reply:
    assert request.token is None, "the token belongs to the Hub, not to its storage"
    hub.storage[match["oid"]] = request.body
    return Reply(200)


@route("POST", r"/api/models/{repo}/commit/(?P<revision>[^/]+)")
def commit(hub: HubServer, request: Request, match: re.Match[str]) -> Reply:
    if refused := _writer(hub, request):
        return refused
    found = hub.find(request, match)
    if isinstance(found, Reply):
        return found
    repo, head = found
    lines = [json.loads(line) for line in request.body.splitlines()]
    parent = lines[0]["value"].get("parentCommit")
    if parent is not None and parent != head:
        return error(412, message="A commit has happened since. Please refresh and try again.")
    target = "refs/pr/1" if "create_pr=1" in request.query else match["revision"]
    made = repo.push(_applied(hub, repo, head, lines[1:]), target)
    hub.commits.append(lines[0]["value"]["summary"])
    answer = {"commitOid": made, "commitUrl": f"{hub.url}/{repo.name}/commit/{made}", "success": True}
    if target == "refs/pr/1":
        answer["pullRequestUrl"] = f"{hub.url}/{repo.name}/discussions/1"
    return json_reply(answer)


def _applied(hub: HubServer, repo: Repo, head: str, operations: list[dict[str, Any]]) -> dict[str, bytes]:
    files = dict(repo.commits[head])
    for operation in operations:
        value = operation["value"]
        if operation["key"] == "file":
            files[value["path"]] = base64.b64decode(value["content"])
        elif operation["key"] == "lfsFile":
            files[value["path"]] = hub.storage[value["oid"]]
        else:
            assert operation["key"] == "deletedFile"
            del files[value["path"]]
    return files


def _is_private(asked: dict[str, Any]) -> bool:
    return bool(asked.get("private")) or asked.get("visibility") == "private"
