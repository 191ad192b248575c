"""Fetching from a local server that breaks off, resumes, changes its file, and sends wrong bytes."""

import hashlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from hyena_ds.errors import InputError, StoppedError
from hyena_ds.genome.fetch import Source, fetch
from tests.genome.local_server import LocalServer, serving

CONTENT = bytes(range(256)) * 40_000  # ten chunks
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(LocalServer):
    """Serves `content` as any path; `most` bytes an answer, then it hangs up."""

    def __init__(self) -> None:
        super().__init__(Handler)
        self.content, self.most, self.ranges, self.etag = CONTENT, len(CONTENT), True, '"one"'
        self.asked: list[str | None] = []

    @property
    def url(self) -> str:
        return f"{self.address}/genome.fa.gz"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        server, wanted = self.server, self.headers["Range"]
        server.asked.append(wanted)
        if self.path == "/absent":
            self.send_error(404)
            return
        start = 0
        if wanted and server.ranges and self.headers["If-Range"] == server.etag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(server.content):
                self.send_error(416)
                return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(server.content) - start))
        self.send_header("ETag", server.etag)
        self.end_headers()
        self.wfile.write(server.content[start : start + server.most])


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(Server()) as found:
        yield found


def test_a_broken_download_goes_on_where_it_stood(server: Server, tmp_path: Path) -> None:
    source, said = Source(server.url, "hg38/genome.fa.gz", SHA256), list[str]()
    server.most = 4_000_000
    for received in ("4,000,000", "8,000,000"):
        with pytest.raises(StoppedError, match=f"after {received} of 10,240,000 bytes; the same command goes on"):
            fetch(source, tmp_path, said.append)
        assert not (tmp_path / "hg38/genome.fa.gz").exists()
    path = fetch(source, tmp_path, said.append)
    assert path == tmp_path / "hg38/genome.fa.gz"
    assert path.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=4000000-", "bytes=8000000-"]
    assert said[-1].endswith("goes on at byte 8,000,000")
    assert [file.name for file in path.parent.iterdir()] == ["genome.fa.gz"]


@pytest.mark.parametrize("change", ["the server knows no ranges", "the file is another by now"])
def test_what_cannot_go_on_starts_anew(change: str, server: Server, tmp_path: Path) -> None:
    server.most = 4_000_000
    with pytest.raises(StoppedError):
        fetch(Source(server.url, "a"), tmp_path)
    server.most = len(CONTENT)
    if change == "the server knows no ranges":
        server.ranges = False
    else:
        server.content, server.etag = CONTENT[::-1], '"two"'
    assert fetch(Source(server.url, "a"), tmp_path).read_bytes() == server.content


def test_a_partial_file_longer_than_the_file_starts_anew(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.partial").write_bytes(CONTENT + b"more")
    (tmp_path / "a.partial.validator").write_text('"one"')
    assert fetch(Source(server.url, "a", SHA256), tmp_path).read_bytes() == CONTENT


def test_wrong_bytes_never_become_the_file(server: Server, tmp_path: Path) -> None:
    server.content = CONTENT[:-1] + b"!"
    with pytest.raises(InputError, match=f"not {SHA256} as published: its bytes were removed"):
        fetch(Source(server.url, "a", SHA256), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_already_here_is_taken_without_a_server(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(CONTENT)
    assert fetch(Source(server.url, "a", SHA256), tmp_path) == tmp_path / "a"
    (tmp_path / "a").write_bytes(CONTENT[1:])
    with pytest.raises(InputError, match="delete it to fetch it again"):
        fetch(Source(server.url, "a", SHA256), tmp_path)
    assert server.asked == []


def test_a_file_without_published_checksum_holds_to_its_first(server: Server, tmp_path: Path) -> None:
    fetch(Source(server.url, "a"), tmp_path)
    assert (tmp_path / "SHA256SUMS").read_text() == f"{SHA256}  a\n"
    fetch(Source(server.url, "a"), tmp_path)
    (tmp_path / "a").unlink()
    server.content = b"another"
    with pytest.raises(InputError, match=r"as kept in .*SHA256SUMS: its bytes were removed"):
        fetch(Source(server.url, "a"), tmp_path)


def test_what_cannot_be_had_is_one_line(server: Server, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the server says 404 Not Found"):
        fetch(Source(server.url.replace("genome.fa.gz", "absent"), "a"), tmp_path)
    with pytest.raises(InputError, match=r"cannot be reached .*refused.*--data"):
        fetch(Source("http://127.0.0.1:1/genome.fa", "a"), tmp_path)
    with pytest.raises(InputError, match="neither https nor http"):
        fetch(Source("file:///etc/hostname", "a"), tmp_path)
    assert list(tmp_path.iterdir()) == []
