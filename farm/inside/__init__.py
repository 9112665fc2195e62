"""What runs inside the build container: standard library only, Python 3.9 or newer.

The folder is mounted read-only at ``/farm/inside`` and each file is a program
of its own (``python3 /farm/inside/step.py …``), so nothing here imports
anything else of the farm, nor its neighbours.

Exit statuses, for whoever reads a build log: 0 done, 2 wrong arguments, 64 a list of
edits that cannot be read, 65 something that is not what its digest says or may not be
unpacked, 66 a patch that does not apply, 67 an edit that does not fit, 68 wheels that
cannot be collected, 69 a toolkit or library that cannot be made, 70 broken otherwise,
71 a build that printed what it must not, 72 a wheel that fails its smoke test,
73 compilers that cannot be told, 74 a wheel's parts that cannot be listed,
75 a build that was stopped as asked, 77 no command to repeat.
A failure prints one line that begins ``farm: error:``, which the host looks for.
"""
