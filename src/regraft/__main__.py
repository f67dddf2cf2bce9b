"""Run the command line as ``python -m regraft``: where the folder of its command is not on the PATH."""

from regraft.cli.commands import main

main()
