import setuptools

VERSION = setuptools.__version__
