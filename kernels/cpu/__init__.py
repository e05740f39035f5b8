"""Kernels for a CPU, compiled by Numba and kept where the next process finds them."""

from kernels.cpu.compiled import keep_compiled

keep_compiled()
