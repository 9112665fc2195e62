"""Where toolkits are: nowhere."""

CUDA_HOME = None
ROCM_HOME = None
