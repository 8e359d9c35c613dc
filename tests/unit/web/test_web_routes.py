"""The pages as files: what is served, with which headers, and what is not."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from services.router.web import CONTENT_SECURITY_POLICY, DEFAULT_ROOT, web_routes


def browse(root: Path | None = None) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(Starlette(routes=web_routes(root))), base_url="http://desk.test"
    )


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with browse() as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "web"
    (root / "desk").mkdir(parents=True)
    (root / "index.html").write_text("start")
    (root / "desk" / "index.html").write_text("desk")
    (root / "desk" / "desk.js").write_text("1")
    return root


@pytest.mark.parametrize("path", ["/", "/desk/", "/chat/", "/status/"])
async def test_pages_come_with_a_policy_that_allows_only_our_own_scripts(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/lib/api.js", "text/javascript"), ("/style/base.css", "text/css"), ("/style/mark.svg", "image/svg+xml")],
)
async def test_files_have_their_types(client: httpx.AsyncClient, path: str, kind: str) -> None:
    assert (await client.get(path)).headers["content-type"].partition(";")[0] == kind


async def test_a_browser_that_has_the_file_is_told_so(client: httpx.AsyncClient) -> None:
    first = await client.get("/lib/api.js")
    again = await client.get("/lib/api.js", headers={"If-None-Match": f'"other", W/{first.headers["etag"]}'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]


async def test_a_changed_file_is_served_anew(folder: Path) -> None:
    client = browse(folder)
    before = await client.get("/desk/desk.js")
    (folder / "desk" / "desk.js").write_text("22")
    after = await client.get("/desk/desk.js")
    assert (before.text, after.text) == ("1", "22")
    assert before.headers["etag"] != after.headers["etag"]


async def test_head_answers_without_a_body(client: httpx.AsyncClient) -> None:
    answer = await client.head("/desk/")
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) == len((await client.get("/desk/")).content)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_nothing_can_be_written(client: httpx.AsyncClient, method: str) -> None:
    assert (await client.request(method, "/desk/")).status_code == 405


async def test_a_folder_without_its_slash_leads_to_it_and_keeps_the_question(client: httpx.AsyncClient) -> None:
    answer = await client.get("/chat?account=web")
    assert (answer.status_code, answer.headers["location"]) == (308, "/chat/?account=web")


@pytest.mark.parametrize(
    "path",
    [
        "/../pyproject.toml",
        "/..%2fpyproject.toml",
        "/desk/..%2f..%2fpyproject.toml",
        "/desk/%2e%2e/%2e%2e/pyproject.toml",
        "/lib//api.js",
        "/lib/",
        "/lib/api.js%00.html",
        "//etc/passwd",
        "/desk/index.html",
        "/.hidden.js",
        "/link.js",
        "/desk/notes.txt",
    ],
)
async def test_what_is_not_a_page_does_not_exist(folder: Path, tmp_path: Path, path: str) -> None:
    secret = tmp_path / "pyproject.toml"
    secret.write_text("secret")
    (folder / ".hidden.js").write_text("secret")
    (folder / "desk" / "notes.txt").write_text("secret")
    (folder / "link.js").symlink_to(secret)
    for root in (None, folder):
        async with browse(root) as client:
            answer = await client.get(path)
        assert answer.status_code == 404
        assert "secret" not in answer.text


def test_without_pages_it_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no web pages"):
        web_routes(tmp_path)


def test_pages_hold_no_inline_code_and_load_nothing_from_elsewhere() -> None:
    pages = sorted(DEFAULT_ROOT.rglob("*.html"))
    assert len(pages) == 4
    for page in pages:
        html = page.read_text("utf-8")
        assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=|javascript:|https?://", html), page
    for script in sorted(DEFAULT_ROOT.rglob("*.js")):
        code = script.read_text("utf-8")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", code), (
            script
        )


def test_every_module_that_is_imported_is_there() -> None:
    for script in sorted(DEFAULT_ROOT.rglob("*.js")):
        for name in re.findall(r'from "(\.[^"]+)"', script.read_text("utf-8")):
            assert (script.parent / name).is_file(), f"{script} imports {name}"
