"""Run the command line as ``python -m speechcls``."""

from speechcls.cli import main

main()
