"""The command line: parse, call, print.

``app`` holds the program and the list of its commands; each command is the function of the same
name in the module of the same name. ``command`` formats help, ``usage`` errors of usage;
``options`` declares the options that several commands share, ``config_options`` makes options from
the fields of a configuration; ``common`` turns errors into exit codes; ``inputs`` finds the model
and reads data and stdin, ``outputs`` opens files for results; ``live`` has the source and the
Ctrl-C of ``listen`` and ``record``; ``messages``, ``progress`` and ``tables`` print.
"""
