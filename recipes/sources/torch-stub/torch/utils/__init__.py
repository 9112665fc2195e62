"""Only what `torch.utils.cpp_extension` is imported through."""
