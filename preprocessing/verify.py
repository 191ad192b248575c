"""Read shards back and check every byte: python -m preprocessing.verify data/genome"""

import argparse
import sys
import time
from pathlib import Path

from hyena_ds.errors import run_command
from hyena_ds.genome.index import read_index
from hyena_ds.genome.progress import Progress
from hyena_ds.genome.verify import verify_shards


def main() -> None:
    """Run the command; raises InputError at the first lie."""
    parser = argparse.ArgumentParser(prog="python -m preprocessing.verify", description=__doc__)
    parser.add_argument("directory", type=Path, help="shard directory, as preprocessing.shard made it")
    directory = parser.parse_args().directory
    started = time.monotonic()
    bases = sum(sequence.length for sequence in read_index(directory).sequences)
    with Progress("verifying", bases, " bases") as progress:
        index = verify_shards(directory, progress.advance)
    size = sum(shard.bytes for shard in index.shards) / 2**20
    seconds = time.monotonic() - started
    print(f"{directory}: {len(index.shards):,} shards, {bases:,} bases, {size:,.1f} MiB hold true, {seconds:.1f} s")
    print(f"next: deepspeed launch/pretrain.py --config configs/1k.yaml data.directory={directory}")


if __name__ == "__main__":
    sys.exit(run_command(main))
