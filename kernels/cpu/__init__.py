from kernels.cpu.compiled import keep_compiled

keep_compiled()
