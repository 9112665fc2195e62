"""What goes wrong is chosen by a variable, so that one source serves every variant."""

import os

from setuptools import Extension, setup

KIND = os.environ["TRIED"]
FLAGS = ["-fopenmp"]
FAST = Extension("tried._fast", ["fast.c"], extra_compile_args=FLAGS, extra_link_args=FLAGS)

setup(
    packages=["tried", "tried.inner"],
    package_dir={"tried": f"kinds/{KIND}" if KIND in {"undeclared", "crashes"} else "kinds/plain",
                 "tried.inner": "kinds/inner"},
    install_requires=["packaging>=24"] if KIND == "unlocked" else [],
    ext_modules=[FAST] if KIND == "openmp" else [],
)
