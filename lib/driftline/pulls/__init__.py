"""Sources that are asked instead of waited for: a database, an API.

What a pull brings becomes a file in a spool folder, complete or not at all; from there on it is a
delivery like any other. ``sections`` is what a problem file says of them; ``jdbc`` and ``http`` are
the two kinds; ``spool`` keeps their files.
"""
