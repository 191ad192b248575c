"""A genome by its assembly accession: the package of the NCBI Datasets API, checked by the MD5 that it carries."""

import hashlib
import re
import zipfile
from pathlib import Path

from hyena_ds.errors import InputError
from hyena_ds.genome.fasta import Say
from hyena_ds.genome.fetch import CHUNK_BYTES, Source, download, fetch

API = "https://api.ncbi.nlm.nih.gov/datasets/v2/genome/accession"
ACCESSION = re.compile(r"GC[AF]_\d{9}\.\d+")
MD5_NAME = "md5sum.txt"
FASTA_ENDING = "_genomic.fna"


def fetch_assembly(accession: str, data: Path, say: Say = print, api: str = API) -> Path:
    """The sequences of an assembly such as GCF_000146045.2 as genomes/ACCESSION.fna below the directory `data`.

    The package is made anew for every download and has no checksum of its own, so that of its FASTA file is kept.

    Raises what `fetch` raises.
    """
    if not ACCESSION.fullmatch(accession):
        raise InputError(f"{accession!r} is no assembly accession; give one such as GCF_000146045.2")
    url = f"{api}/{accession}/download?include_annotation_type=GENOME_FASTA"
    path = f"genomes/{accession}.fna"
    target = data / path
    if not target.is_file():
        package = download(url, target.with_suffix(".zip"), say)
        try:
            _unpack(package, accession, target)
        finally:
            package.unlink()
    return fetch(Source(url, path), data, say)


def _unpack(package: Path, accession: str, target: Path) -> None:
    try:
        with zipfile.ZipFile(package) as archive:
            names = [name for name in archive.namelist() if name.endswith(FASTA_ENDING)]
            if len(names) != 1:
                raise InputError(f"the package of {accession} holds {len(names)} genomes; is it an accession of NCBI?")
            _copy(archive, names[0], target)
    except zipfile.BadZipFile as error:
        raise InputError(f"the package of {accession} is no whole zip file ({error}); fetch it again") from None


def _copy(archive: zipfile.ZipFile, name: str, target: Path) -> None:
    """The member `name` as `target`, complete or absent."""
    aside, digest = target.with_name(target.name + ".partial"), hashlib.md5(usedforsecurity=False)
    with archive.open(name) as member, aside.open("wb") as file:
        while chunk := member.read(CHUNK_BYTES):
            digest.update(chunk)
            file.write(chunk)
    found, published = digest.hexdigest(), _published_md5(archive, name)
    if found != published:
        aside.unlink()
        raise InputError(f"{name} has MD5 {found}, not {published} as in its package's {MD5_NAME}; fetch it again")
    aside.replace(target)


def _published_md5(archive: zipfile.ZipFile, name: str) -> str | None:
    if MD5_NAME not in archive.namelist():
        return None
    rows = (line.split(maxsplit=1) for line in archive.read(MD5_NAME).decode("utf-8").splitlines() if line.strip())
    return {path: digest for digest, path in rows}.get(name)
