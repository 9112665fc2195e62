"""Builds one extension module; the environment can make each stage misbehave."""

import os
import socket
import sys
import time

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext


class Build(build_ext):
    def run(self):
        if os.environ.get("TINY_CONNECT"):
            socket.create_connection(("192.0.2.1", 80), timeout=5)
        noise = int(os.environ.get("TINY_NOISE_MIB", "0"))
        for number in range(noise * 2**20 // 4096):
            print(f"{number:010d} {'x' * 4084}")
        if os.environ.get("TINY_BULK_MIB"):
            self.write_bulk(int(os.environ["TINY_BULK_MIB"]))
        if os.environ.get("TINY_FAIL_ATTEMPT") == os.environ.get("FARM_ATTEMPT"):
            sys.exit("error: failing on purpose at this attempt")
        print("[1/2] before the wait", flush=True)
        time.sleep(float(os.environ.get("TINY_SLEEP_S", "0")))
        if os.environ.get("TINY_KILL_COMPILER"):
            print("gcc-14: fatal error: Killed signal terminated program cc1", flush=True)
            sys.exit(1)
        super().run()

    @staticmethod
    def write_bulk(size_mib):
        with open("/tmp/bulk", "wb") as file:
            for _ in range(size_mib):
                file.write(os.urandom(2**20))


setup(
    packages=["tiny"],
    ext_modules=[Extension("tiny._core", ["tiny/core.c"])],
    cmdclass={"build_ext": Build},
)
