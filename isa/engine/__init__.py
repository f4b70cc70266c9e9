"""The engines that run the definitions.

`reference` runs them on Python ints: always right, always there, about a million instructions a second.
The compiled back ends trace the very same definitions into LLVM and are proven equal to it.
"""
