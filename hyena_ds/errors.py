"""The errors a user can mend, each with the exit code of its command."""

import errno
import os
import sys
from collections.abc import Callable, Iterable
from typing import NoReturn

EXIT_DONE = 0
EXIT_INPUT = 2
EXIT_STORAGE = 74
EXIT_RESTART = 75  # stopped and saved, or a rank was lost: the same command goes on from the last checkpoint
EXIT_INTERRUPTED = 130


class HyenaError(Exception):
    """An error whose one-line message names the value, the place and the remedy."""

    exit_code = 1
    rank: int | None = None  # the only rank that met it; None: every rank meets it alike


class InputError(HyenaError):
    """What the user gave cannot be used; nothing was changed."""

    exit_code = EXIT_INPUT


class DivergenceError(HyenaError):
    """Training met too many gradients that are not finite; the checkpoints are intact."""

    exit_code = EXIT_INPUT


class StoppedError(HyenaError):
    """A signal stopped a run with everything saved; the same call goes on from there."""

    exit_code = EXIT_RESTART


class StorageError(HyenaError):
    """The storage failed; what was written before is intact."""

    exit_code = EXIT_STORAGE


FULL_STORAGE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)


def listed(names: Iterable[str], most: int = 8) -> str:
    """The names for a message, with "..." for those beyond the first `most`."""
    shown = list(names)
    return ", ".join([*shown[:most], "..."] if len(shown) > most else shown)


def report(error: HyenaError, *, speaks: bool = True) -> int:
    """Print `error` as one line on stderr, unless another process `speaks` for all, and return its exit code."""
    message = " ".join(str(error).split())
    place = "" if error.rank is None else f"rank {error.rank}: "
    if speaks or error.rank is not None:
        print(f"error: {place}{message}", file=sys.stderr, flush=True)
    return error.exit_code


def failure_code(error: BaseException | None) -> int:
    """The exit code of a rank that alone ends by `error`; 0 where it ends as every other rank does."""
    match error:
        case None | SystemExit() | HyenaError(rank=None):
            return EXIT_DONE
        case HyenaError():
            return error.exit_code
        case OSError() if error.errno in FULL_STORAGE:
            return EXIT_STORAGE
        case KeyboardInterrupt():
            return EXIT_INTERRUPTED
    return 1


def guarded(main: Callable[[], int | None], *, speaks: bool = True) -> int:
    """Run `main` and turn the errors of this module, and those of full storage, into exit codes."""
    try:
        return main() or EXIT_DONE
    except HyenaError as error:
        return report(error, speaks=speaks)
    except OSError as error:
        if error.errno not in FULL_STORAGE:
            raise
        where = f" at {error.filename}" if error.filename else ""
        reason = os.strerror(error.errno)
        return report(StorageError(f"storage failed{where}: {reason}; free space or choose another disk"))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED


def run_command(main: Callable[[], int | None], *, speaks: bool = True) -> NoReturn:
    """Run the `main` of a command line tool and exit with its code; one rank of many `speaks` for all."""
    sys.exit(guarded(main, speaks=speaks))
