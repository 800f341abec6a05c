"""The command line: parse, call, print.

``app`` holds the program and the list of its commands; each command is the function of the same
name in the module of the same name. ``command`` says how help and wrong usage are shown,
``options`` declares every option that several commands share, ``common`` turns errors into exit
codes; ``messages``, ``progress`` and ``tables`` are the words, bars and tables that people see.
"""
