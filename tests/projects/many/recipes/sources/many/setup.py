"""Builds one extension module of twenty files, which are written here.

MANY_MARK is in the text of each, MANY_CHANGED in that of the fourth; MANY_HARM is a command
that runs before they are compiled, and MANY_SLEEP_S how long to wait after that.
"""

import os
import pathlib
import subprocess
import time

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

FILES = 20
MODULE = """
#include <Python.h>
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_core", NULL, -1, NULL};
PyMODINIT_FUNC PyInit__core(void) { return PyModule_Create(&module); }
"""


class Build(build_ext):
    def run(self):
        for number in range(FILES):
            text = f"int {os.environ['MANY_MARK']}_{number}(void) {{ return {number}; }}\n"
            text += MODULE if number == 0 else ""
            text += os.environ.get("MANY_CHANGED", "") if number == 3 else ""
            pathlib.Path(f"many/f{number}.c").write_text(text)
        subprocess.run(["/bin/sh", "-c", os.environ.get("MANY_HARM", "")], check=True)
        super().run()
        print("[1/2] before the wait", flush=True)
        time.sleep(float(os.environ.get("MANY_SLEEP_S", "0")))


setup(
    packages=["many"],
    ext_modules=[Extension("many._core", [f"many/f{number}.c" for number in range(FILES)])],
    cmdclass={"build_ext": Build},
)
