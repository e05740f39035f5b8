"""Holds every engine to the vector instructions of an older processor.

A stand-in for a machine without AVX-512: the code is what such a machine would run, clock and
caches are this one's. numba (Winnow, bm25s, splade-index), NumPy and the JVM read the environment.
Other native code is not held back; the wheels of BMP and tantivy have no instruction of AVX-512,
that of Seismic has some fifty (``objdump -d``).
"""

from __future__ import annotations

import os

LIMITS = {
    "avx2": {
        "NUMBA_CPU_NAME": "haswell",
        "NUMBA_CPU_FEATURES": "+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+popcnt",
        "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
        "JDK_JAVA_OPTIONS": "-XX:UseAVX=2",
    }
}
"""Environment variables by the name of the widest instructions that are left."""


def limit_instructions(widest: str) -> None:
    """Sets the environment that the engines' processes inherit.

    Args:
        widest: A key of ``LIMITS``.
    """
    os.environ.update(LIMITS[widest])
