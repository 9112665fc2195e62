"""Not torch: a stand-in that says that there is no device, and can nothing else.

It answers what the setup.py of a package without device code asks of torch
(vLLM 0.22.0, setup.py:17, 24, 868, 875), in place of 2.5 GB of wheels.
"""

from torch import version as version

__version__ = "2.11.0"
