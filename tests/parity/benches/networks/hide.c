// Answers CPUID without AVX-512, AVX-VNNI and AMX, so that engines which choose their kernels by it keep to AVX2.
//
// Loaded by LD_PRELOAD. The kernel makes CPUID a fault (arch_prctl, see its man page), which threads inherit; the
// handler asks the CPU and clears bits. Ends the process where the machine can't do this.

#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

enum { ARCH_CPUID_GET = 0x1011, ARCH_CPUID_SET = 0x1012 };

static void allow(int allowed) {
    syscall(SYS_arch_prctl, ARCH_CPUID_SET, (unsigned long)allowed);
}

static void clear(uint32_t *bits, const uint8_t *numbers, size_t count) {
    for (size_t i = 0; i < count; i++) *bits &= ~(UINT32_C(1) << numbers[i]);
}
#define CLEAR(bits, ...) clear(&(bits), (const uint8_t[]){__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__}))

static void hide(uint32_t leaf, uint32_t part, uint32_t r[4]) {
    if (leaf == 7 && part == 0) {
        CLEAR(r[1], 16, 17, 21, 26, 27, 28, 30, 31); // AVX512F, DQ, IFMA, PF, ER, CD, BW, VL
        CLEAR(r[2], 1, 6, 11, 12, 14);               // AVX512_VBMI, VBMI2, VNNI, BITALG, VPOPCNTDQ
        CLEAR(r[3], 2, 3, 8, 22, 23, 24, 25);        // AVX512_4VNNIW, 4FMAPS, VP2INTERSECT, AMX_BF16, AVX512_FP16, AMX_TILE, AMX_INT8
    } else if (leaf == 7 && part == 1) {
        CLEAR(r[0], 4, 5, 21, 23);      // AVX_VNNI, AVX512_BF16, AMX_FP16, AVX_IFMA
        CLEAR(r[3], 4, 5, 8, 10, 19);   // AVX_VNNI_INT8, AVX_NE_CONVERT, AMX_COMPLEX, AVX_VNNI_INT16, AVX10
    } else if (leaf >= 0x1d && leaf <= 0x1e) {
        memset(r, 0, 4 * sizeof *r); // AMX's tiles
    }
}

static void on_fault(int number, siginfo_t *info, void *context) {
    (void)info;
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    const uint8_t *code = (const uint8_t *)registers[REG_RIP];
    if (code[0] != 0x0f || code[1] != 0xa2) { // not CPUID: let it end the process
        signal(number, SIG_DFL);
        return;
    }
    uint32_t leaf = (uint32_t)registers[REG_RAX], part = (uint32_t)registers[REG_RCX], r[4];
    allow(1);
    __asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(part));
    allow(0);
    hide(leaf, part, r);
    registers[REG_RAX] = r[0];
    registers[REG_RBX] = r[1];
    registers[REG_RCX] = r[2];
    registers[REG_RDX] = r[3];
    registers[REG_RIP] += 2;
}

__attribute__((constructor)) static void start(void) {
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigaction(SIGSEGV, &action, NULL);
    allow(0);
    if (syscall(SYS_arch_prctl, ARCH_CPUID_GET, 0UL) != 0) {
        fputs("this machine can't hide instructions from a program: its CPU or its kernel lacks CPUID faulting\n", stderr);
        _exit(3);
    }
}
