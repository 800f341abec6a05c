"""Run the command line as ``python -m speechcls``."""

from speechcls.cli.app import main

main()
