"""Builds the compiled wire twin; where that cannot be done the pure twin serves, and the install goes on."""

from Cython.Build import cythonize
from setuptools import Extension, setup

speedups = Extension(
    "tidings.nats.wire._speedups",
    ["src/tidings/nats/wire/_speedups.pyx"],
    depends=[f"src/tidings/nats/wire/_{part}.pxi" for part in ("messages", "calls", "parser", "encoder")],
    extra_compile_args=["-O3"],
    optional=True,
)

setup(ext_modules=cythonize([speedups], compiler_directives={"language_level": "3"}))
