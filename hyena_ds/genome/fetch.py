"""Files from the web: resumed where they broke off, and there only when their SHA-256 is right."""

import hashlib
import http.client
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hyena_ds.errors import InputError, StoppedError
from hyena_ds.genome.fasta import Say

CHECKSUMS_NAME = "SHA256SUMS"
PARTIAL_SUFFIX, VALIDATOR_SUFFIX = ".partial", ".partial.validator"
CHUNK_BYTES = 2**20
TIMEOUT_SECONDS = 60
SCHEMES = ("https://", "http://")
PARTIAL_CONTENT, RANGE_REFUSED = 206, 416


@dataclass(frozen=True)
class Source:
    """A file on the web, its published SHA-256 where there is one, and where it belongs below the data directory."""

    url: str
    path: str
    sha256: str | None = None


@dataclass(frozen=True)
class _Partial:
    """The beginning of a file, and the validator (RFC 9110, 8.8) of the version that it is of."""

    bytes: Path
    validator: Path

    @classmethod
    def of(cls, target: Path) -> "_Partial":
        return cls(*(target.with_name(target.name + suffix) for suffix in (PARTIAL_SUFFIX, VALIDATOR_SUFFIX)))

    @property
    def size(self) -> int:
        """Bytes that can be gone on from: none where nothing tells which version of the file they are of."""
        return self.bytes.stat().st_size if self.bytes.is_file() and self.validator.is_file() else 0

    def remove(self) -> None:
        self.bytes.unlink(missing_ok=True)
        self.validator.unlink(missing_ok=True)


def fetch(source: Source, data: Path, say: Say = print) -> Path:
    """The file of `source` below the directory `data`: the one already there where its checksum holds, else fetched.

    A file without a published checksum is taken as it first came; its own is kept in SHA256SUMS beside it, in the form
    of `sha256sum`, and holds from then on.

    Raises InputError where the file cannot be had or its bytes are wrong, StoppedError where the connection broke off
    and the same call goes on from there.
    """
    target = data / source.path
    fresh = not target.is_file()
    found = download(source.url, target, say) if fresh else target
    digest, expected = sha256_of(found), source.sha256 or _kept_sha256(target)
    if expected not in (None, digest):
        origin = "as published" if source.sha256 else f"as kept in {target.with_name(CHECKSUMS_NAME)}"
        if fresh:
            found.unlink()
            raise InputError(f"{source.url} has SHA-256 {digest}, not {expected} {origin}: its bytes were removed")
        raise InputError(f"{target} has SHA-256 {digest}, not {expected} {origin}; delete it to fetch it again")
    found.replace(target)
    if expected is None:
        with target.with_name(CHECKSUMS_NAME).open("a", encoding="utf-8") as file:
            file.write(f"{digest}  {target.name}\n")
        say(f"{target}: no checksum is published; SHA-256 {digest} is kept in {CHECKSUMS_NAME}")
    return target


def download(url: str, target: Path, say: Say) -> Path:
    """All bytes of `url`, unchecked, in a file beside `target`; what broke off before is gone on from.

    Raises what `fetch` does.
    """
    if not url.startswith(SCHEMES):
        raise InputError(f"{url} is neither https nor http; give another address")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = _Partial.of(target)
    _download(url, partial, say)
    partial.validator.unlink(missing_ok=True)
    return partial.bytes


def sha256_of(path: Path) -> str:
    """Of the file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _kept_sha256(path: Path) -> str | None:
    """What SHA256SUMS beside a file says of it."""
    kept = path.with_name(CHECKSUMS_NAME)
    if not kept.is_file():
        return None
    rows = (line.split("  ", 1) for line in kept.read_text(encoding="utf-8").splitlines())
    return {name: digest for digest, name in rows}.get(path.name)


def _download(url: str, partial: _Partial, say: Say) -> None:
    """Complete the partial file, from its beginning where the server cannot go on."""
    start = partial.size
    with _opened(url, partial, start) as answer:
        if answer is not None:
            _receive(url, answer, partial, start if answer.status == PARTIAL_CONTENT else 0, say)
            return
    partial.remove()
    _download(url, partial, say)


def _receive(url: str, answer: http.client.HTTPResponse, partial: _Partial, before: int, say: Say) -> None:
    """Write the server's answer behind the first `before` bytes of the partial file."""
    if before:
        say(f"{url}: goes on at byte {before:,}")
    else:
        partial.remove()
        validator = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
        if validator and not validator.startswith("W/"):
            partial.validator.write_text(validator, encoding="utf-8")
    total = int(answer.headers.get("Content-Length", -1))
    received = _append(answer, partial.bytes)
    if 0 <= received < total:
        raise StoppedError(
            f"{url} broke off after {before + received:,} of {before + total:,} bytes; the same command goes on"
        )


def _append(answer: http.client.HTTPResponse, path: Path) -> int:
    """Write the body behind what `path` holds; the bytes that came before it ended or broke off."""
    received = 0
    with path.open("ab") as file:
        try:
            while chunk := answer.read(CHUNK_BYTES):
                file.write(chunk)
                received += len(chunk)
        except (http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError):
            if answer.headers.get("Content-Length") is None:
                raise StoppedError(f"{path} broke off; the same command fetches it again") from None
        file.flush()
        os.fsync(file.fileno())
    return received


@contextmanager
def _opened(url: str, partial: _Partial, start: int) -> Iterator[http.client.HTTPResponse | None]:
    """The server's answer from byte `start` on; None where it has no such byte."""
    headers = {"User-Agent": "hyena_ds"}
    if start:
        headers |= {"Range": f"bytes={start}-", "If-Range": partial.validator.read_text(encoding="utf-8")}
    try:
        answer = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_SECONDS)  # noqa: S310 - `fetch` checks the scheme
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != RANGE_REFUSED or not start:
            raise InputError(
                f"{url}: the server says {error.code} {error.reason}; check the address or try later"
            ) from None
        yield None
        return
    except (urllib.error.URLError, ConnectionError, TimeoutError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise InputError(
            f"{url} cannot be reached ({reason}); go online, or name files already here by --data"
        ) from None
    with answer:
        yield answer
