from setuptools import setup
from setuptools_rust import Binding, RustExtension

setup(
    packages=["frontend"],
    rust_extensions=[
        RustExtension("frontend._fast", binding=Binding.NoBinding, optional=True, debug=False)
    ],
)
