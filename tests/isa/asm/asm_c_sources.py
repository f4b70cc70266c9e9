"""C files for the comparison of what a compiler writes: each exercises another part of the syntax."""

SOURCES = {
    "numbers": """
typedef unsigned u32; typedef unsigned char u8; typedef unsigned long long u64;
u64 mul64(u64 a, u64 b) { return a * b; }
u64 shl64(u64 a, int n) { return a << n; }
int divide(int a, int b) { return a / b + a % b; }
u32 tenth(u32 a) { return a / 10; }
short narrow(short a, signed char b) { return a * b; }
int least(u8 a, short b) { return a < b ? a : b; }
u32 rotate(u32 a, int n) { return a << n | a >> (32 - n); }
u32 bits(u32 a) { return __builtin_bswap32(a) + __builtin_ctz(a); }
int bit(u32 a, int n) { return (a >> n & 1) + (a < 7); }
int sign(int a) { return (a > 0) - (a < 0); }
""",
    "data": """
static unsigned table[16] = {1, 2, 3}; int counter; static unsigned char flags[100];
const char *names[] = {"one", "two\\n", "th\\"ree", "\\1\\377"}; int cx = 5, offset = 7;
struct list { struct list *next; int key; char name[12]; };
struct list *find(struct list *l, int k) { for (; l; l = l->next) if (l->key == k) return l; return 0; }
int hash(const char *s) {
    unsigned h = 5381;
    while (*s) h = h * 33 ^ (unsigned char)*s++;
    return h % 16 + table[h & 15] + flags[h % 100] + cx + offset;
}
void touch(int i) { flags[i]++; counter += names[i][1]; table[i] = i; }
const int big[300] = {[5] = 1}; double third = 1.0 / 3; float half = .5f;
""",
    "flow": """
int counter;
int choose(int x) {
    switch (x) {
    case 0: return 5; case 1: return counter; case 2: return 77; case 3: return x * 19;
    case 4: return -x; case 5: return 3; case 6: return 12; default: return 0;
    }
}
int (*handler)(int) = choose;
int call(int x) { return handler(x) + choose(x + 1); }
int fibonacci(int n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }
void sort(int *a, int n) {
    for (int i = 0; i < n; i++)
        for (int j = i + 1; j < n; j++)
            if (a[j] < a[i]) { int t = a[i]; a[i] = a[j]; a[j] = t; }
}
__attribute__((noreturn)) void stop(void) { for (;;) __asm__("hlt"); }
void check(int x) { if (__builtin_expect(x == 3, 0)) stop(); counter++; }
""",
    "memory": """
void *copy(void *d, const void *s, unsigned n) {
    char *p = d; const char *q = s; while (n--) *p++ = *q++; return d;
}
void clear(char *p) { __builtin_memset(p, 0, 200); }
struct block { int v[40]; };
struct block change(struct block b) { b.v[3]++; return b; }
int exchange(volatile int *p, int v) { return __sync_lock_test_and_set(p, v); }
int compare(int *p, int a, int b) { return __sync_val_compare_and_swap(p, a, b); }
void increment(int *p) { __sync_fetch_and_add(p, 1); }
char text[64]; void fill(void) { for (int i = 0; i < 64; i++) text[i] = i; }
""",
    "floats": """
double average(const float *f, int n) { double s = 0; for (int i = 0; i < n; i++) s += f[i]; return s / n; }
float mixed(float a, float b) { return (a - b) / (b + 1.5f) - a * 2; }
int truncated(double d) { return (int)d; }
double widened(int i) { return i; }
int less(double a, double b) { return a < b; }
long double square(long double x) { return x * x - 1; }
double over(double a, double b) { return b / a - (b - a) / (a + b); }
long long wide(double d) { return (long long)d; }
""",
    "system": """
typedef unsigned short u16; typedef unsigned char u8;
void outb(u16 p, u8 v) { __asm__ volatile("outb %0, %1" :: "a"(v), "Nd"(p)); }
u8 inb(u16 p) { u8 v; __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(p)); return v; }
void lidt(void *p) { __asm__ volatile("lidt %0\\n\\tsti; nop" :: "m"(*(char *)p)); }
unsigned cr3(void) { unsigned v; __asm__ volatile("movl %%cr3, %0" : "=r"(v)); return v; }
void reload(void) {
    __asm__ volatile("ljmp $8, $1f\\n1:\\tmovw $0x10, %%ax; movw %%ax, %%ds; movw %%ax, %%ss" ::: "eax");
}
void zero(void *d, int n) { __asm__ volatile("cld; rep; stosl" : "+D"(d), "+c"(n) : "a"(0) : "memory"); }
void com(const char *s) { for (; *s; s++) outb(0x3f8, *s); }
__asm__(".globl entry\\nentry:\\n\\tpushal\\n\\tpushl %ds\\n\\tcall *%eax\\n\\tpopl %ds\\n\\tpopal\\n\\tiretl");
""",
}
