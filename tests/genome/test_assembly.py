"""An assembly's package from a local server: whole, broken off, of wrong bytes, and what follows from it."""

import hashlib
import io
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from hyena_ds.errors import InputError, StoppedError
from hyena_ds.genome.assembly import fetch_assembly
from preprocessing.shard import main as shard_main
from preprocessing.verify import main as verify_main
from tests.downstream.conftest import launched
from tests.genome.local_server import LocalServer, serving

ACCESSION = "GCF_000146045.2"
FASTA = b">NC_001133.9 chromosome I\n" + b"ACGTTGCATG" * 7 + b"\n>NC_001134.8 chromosome II\n" + b"GATTACA" * 9 + b"\n"
MEMBER = f"ncbi_dataset/data/{ACCESSION}/{ACCESSION}_R64_genomic.fna"


def package(fasta: bytes = FASTA, md5: str | None = None, member: str = MEMBER) -> bytes:
    """As NCBI lays it out."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        archive.writestr("README.md", "")
        archive.writestr(member, fasta)
        archive.writestr("md5sum.txt", f"{md5 or hashlib.md5(fasta, usedforsecurity=False).hexdigest()}  {member}\n")
    return written.getvalue()


class Server(LocalServer):
    """Streams `content` without saying its length, and hangs up after `most` bytes."""

    def __init__(self) -> None:
        super().__init__(Handler)
        self.content, self.most = package(), 10**9
        self.asked: list[str] = []

    @property
    def api(self) -> str:
        return f"{self.address}/genome/accession"


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        server = self.server
        server.asked.append(self.path)
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        sent = server.content[: server.most]
        self.wfile.write(f"{len(sent):x}\r\n".encode() + sent + b"\r\n")
        if len(sent) == len(server.content):
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = True


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(Server()) as found:
        yield found


def test_an_assembly_is_fetched_once_and_sharded(server: Server, tmp_path: Path) -> None:
    path = fetch_assembly(ACCESSION, tmp_path, lambda line: None, server.api)
    assert path == tmp_path / f"genomes/{ACCESSION}.fna"
    assert path.read_bytes() == FASTA
    assert {file.name for file in path.parent.iterdir()} == {path.name, "SHA256SUMS"}
    assert fetch_assembly(ACCESSION, tmp_path, lambda line: None, server.api) == path
    assert server.asked == [f"/genome/accession/{ACCESSION}/download?include_annotation_type=GENOME_FASTA"]
    launched(shard_main, "--fasta", path, "--output", tmp_path / "shards")
    assert "133 bases" in launched(verify_main, tmp_path / "shards")
    path.write_bytes(FASTA + b"A")
    with pytest.raises(InputError, match=r"as kept in .*delete it to fetch it again"):
        fetch_assembly(ACCESSION, tmp_path, lambda line: None, server.api)


def test_a_package_that_broke_off_is_fetched_again(server: Server, tmp_path: Path) -> None:
    server.most = 50
    with pytest.raises(StoppedError, match="broke off; the same command fetches it again"):
        fetch_assembly(ACCESSION, tmp_path, lambda line: None, server.api)
    server.most = 10**9
    assert fetch_assembly(ACCESSION, tmp_path, lambda line: None, server.api).read_bytes() == FASTA


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (package(md5="0" * 32), f"not {'0' * 32} as in its package's md5sum.txt"),
        (package()[:-40], "no whole zip file"),
        (package(member="ncbi_dataset/data/data_report.jsonl"), "holds 0 genomes"),
    ],
)
def test_wrong_bytes_never_become_the_genome(content: bytes, line: str, server: Server, tmp_path: Path) -> None:
    server.content = content
    with pytest.raises(InputError, match=line):
        fetch_assembly(ACCESSION, tmp_path, lambda line: None, server.api)
    assert list((tmp_path / "genomes").iterdir()) == []


def test_what_is_no_accession_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'GCF_146045' is no assembly accession; give one such as GCF_000146045\.2"):
        fetch_assembly("GCF_146045", tmp_path)
    with pytest.raises(InputError, match=r"cannot be reached .*--data"):
        fetch_assembly(ACCESSION, tmp_path, api="http://127.0.0.1:1")
