"""Ten translation units that take g++ from 0.3 to 2.3 GB, made by ninja in an order of one's own."""

import os
import random
import subprocess
import sysconfig

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

THOUSANDS = (1000, 8000, 2000, 1000, 4000, 1000, 6000, 1000, 2000, 1000)
"""Elements of each unit's table: g++ 14 takes some 0.27 KB for each."""


class Build(build_ext):
    def build_extension(self, ext):
        sizes = list(THOUSANDS)
        seed = os.environ.get("STRESS_SEED")
        if seed:
            random.Random(seed).shuffle(sizes)
        jobs = os.environ["MAX_JOBS"]
        include = sysconfig.get_paths()["include"]
        options = "-O0 -fPIC -std=c++17 -fconstexpr-ops-limit=4000000000 -fconstexpr-loop-limit=1000000000"
        target = os.path.abspath(self.get_ext_fullpath(ext.name))
        os.makedirs(os.path.dirname(target), exist_ok=True)
        names = [f"unit{number}.o" for number in range(len(sizes))]
        lines = [
            "rule compile",
            f"  command = {os.environ['CXX']} {options} -I{include} -DUNIT=$unit -DSIZE=$size -c table.cpp -o $out",
            "rule link",
            f"  command = {os.environ['CXX']} -shared $in -o $out",
        ]
        for number, (name, size) in enumerate(zip(names, sizes)):
            lines += [f"build {name}: compile", f"  unit = {number}", f"  size = {size}000"]
        lines += [f"build {target}: link {' '.join(names)}", ""]
        with open("build.ninja", "w") as file:
            file.write("\n".join(lines))
        subprocess.run(["ninja", "-v", f"-j{jobs}"], check=True)


setup(ext_modules=[Extension("stress", ["table.cpp"])], cmdclass={"build_ext": Build})
