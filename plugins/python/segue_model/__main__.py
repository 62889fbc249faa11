"""What the server starts: `worker` with four descriptors, or `propose` with a file."""

import sys
from pathlib import Path


def main() -> int:
    """Does what the arguments say."""
    match sys.argv[1:]:
        case ["worker", *descriptors]:
            from segue_model.worker import run

            run(*map(int, descriptors))
            return 0
        case ["propose", file]:
            from segue_model.proposal import propose

            return propose(Path(file))
        case _:
            print("this is a plugin of Segue's: put it into its plugin directory", file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main())
