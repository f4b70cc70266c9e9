/* Runs one x87 instruction at a time on the host's own processor, for test_x87_against_hardware.py.
 *
 * Reads records from stdin, writes answers to stdout, in batches, until the end of input:
 *   question  code[16]  state[108]  memory[128]  eflags (4 bytes)
 *   answer    state[108]  memory[128]  eflags  eax  signal (4 bytes each)  nothing[8]
 * `code` is the instruction, padded with RETs; its memory operand is [esi]. `state` is an FRSTOR image.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

struct question {
    uint8_t code[16], state[108], memory[128];
    uint32_t eflags;
};
struct answer {
    uint8_t state[108], memory[128];
    uint32_t eflags, eax, signal;
    uint8_t nothing[8];
};

static sigjmp_buf back;

static void caught(int number)
{
    siglongjmp(back, number);
}

static void run(const struct question *q, struct answer *a, uint8_t *code)
{
    uint64_t flags = q->eflags, after = 0, eax = 0xAAAA5555;
    void *memory = a->memory;

    memcpy(code, q->code, sizeof q->code);
    memcpy(a->memory, q->memory, sizeof a->memory);
    memcpy(a->state, q->state, sizeof a->state);
    a->signal = (uint32_t)sigsetjmp(back, 1);
    if (a->signal)
        return;
    __asm__ volatile("frstor (%[from])\n\t"
                     "pushq %[flags]\n\t"
                     "popfq\n\t"
                     "call *%[code]\n\t"
                     "pushfq\n\t"
                     "popq %[after]\n\t"
                     "fnsave (%[to])\n\t"
                     : [after] "=&r"(after), "+a"(eax)
                     : [from] "r"(q->state), [to] "r"(a->state), [flags] "r"(flags), [code] "r"(code), "S"(memory)
                     : "memory", "cc");
    a->eflags = (uint32_t)after;
    a->eax = (uint32_t)eax;
}

int main(void)
{
    static struct question q;
    static struct answer a;
    uint8_t *code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (code == MAP_FAILED)
        return 1;
    memset(code, 0xC3, 4096);
    signal(SIGFPE, caught);
    signal(SIGILL, caught);
    while (fread(&q, sizeof q, 1, stdin) == 1) {
        run(&q, &a, code);
        fwrite(&a, sizeof a, 1, stdout);
    }
    return 0;
}
