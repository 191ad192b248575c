"""The parser that every command begins with."""

import argparse


def command_parser(description: str | None, examples: str) -> argparse.ArgumentParser:
    """What a command is, and behind its options `examples` as they are written."""
    return argparse.ArgumentParser(
        description=description, epilog=examples, formatter_class=argparse.RawDescriptionHelpFormatter
    )
