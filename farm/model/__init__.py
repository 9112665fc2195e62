"""The words of the farm: what YAML may say, and the unit that is built.

Pydantic models read files (`Recipe`, `Toolchain`, `Base`); inward travel the
frozen dataclasses of `farm.model.unit`.  Nothing here touches disk or network.
"""
