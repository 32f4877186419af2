"""The program ``bangeod``, also as ``python -m bangeod``."""

from bangeod.cli import cli


def main() -> None:
    """Run the command line; this does not return."""
    cli.main(prog_name="bangeod")


if __name__ == "__main__":
    main()
