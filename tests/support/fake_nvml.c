/* A driver's library that says what a file says. The file is named by FAKE_NVML_STATE and read at every call:
 *
 *   init CODE                                       what initialising answers (0: success, 9: driver not loaded)
 *   hang CALL                                       every call whose name contains CALL waits until the line is gone
 *   card CODE TOTAL RESERVED FREE NAME              CODE is what asking for its memory answers (15: lost)
 *   slice CARD CODE TOTAL RESERVED FREE NAME        a slice (MIG) of the card with that number
 *   process CARD SLICE PID BYTES                    SLICE -1: on the card itself; BYTES -1: can't be told
 *   shutdowns FILE                                  a letter is appended to FILE at every shutdown
 *
 * As with a real driver, a card that was lost stays so until the library is initialised anew, and nothing is told of
 * cards between its end and its next start. Built with -DOLD_DRIVER it lacks what drivers before version 510 lack.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SUCCESS = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7, GPU_IS_LOST = 15 };
enum { MOST = 16, NAME = 96 };

typedef struct { int card, code; unsigned long long total, reserved, free; char name[NAME]; } Part;
typedef struct { int card, slice; unsigned pid; long long bytes; } Process;
typedef struct { int init, cards, slices, processes; char hang[NAME], shutdowns[256]; Part card[MOST], slice[MOST]; Process process[MOST]; } State;
typedef struct { unsigned long long total, free, used; } Memory;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } MemoryV2;
typedef struct { unsigned pid; unsigned long long bytes; unsigned gpu_instance, compute_instance; } ProcessInfo;

static State state;
static int started, lost[MOST];

static int part_of(const char *text, Part *part) {
    return sscanf(text, "%d %llu %llu %llu %95[^\n]", &part->code, &part->total, &part->reserved, &part->free, part->name) == 5;
}

static void read_line(const char *line) {
    int skipped = 0;
    Process *process = &state.process[state.processes % MOST];
    if (sscanf(line, "init %d", &state.init) == 1 || sscanf(line, "hang %95s", state.hang) == 1) return;
    if (sscanf(line, "shutdowns %255s", state.shutdowns) == 1) return;
    if (sscanf(line, "process %d %d %u %lld", &process->card, &process->slice, &process->pid, &process->bytes) == 4) state.processes++;
    else if (strncmp(line, "card ", 5) == 0) state.cards += part_of(line + 5, &state.card[state.cards % MOST]);
    else if (sscanf(line, "slice %d %n", &state.slice[state.slices % MOST].card, &skipped) == 1)
        state.slices += part_of(line + skipped, &state.slice[state.slices % MOST]);
}

static void look(const char *call) {
    char line[512];
    do {
        memset(&state, 0, sizeof state);
        FILE *file = fopen(getenv("FAKE_NVML_STATE"), "r");
        if (file == NULL) return;
        while (fgets(line, sizeof line, file)) read_line(line);
        fclose(file);
    } while (state.hang[0] && strstr(call, state.hang) && usleep(10000) == 0);
}

/* A handle is 1 + card for a card, and 100 more for each of its slices, counted from 1. */
static int card_of(uintptr_t handle) { return (int)(handle % 100) - 1; }
static int slice_of(uintptr_t handle) { return (int)(handle / 100) - 1; }

static Part *part(uintptr_t handle) {
    int card = card_of(handle), left = slice_of(handle);
    if (left < 0) return card < state.cards ? &state.card[card] : NULL;
    for (int i = 0; i < state.slices; i++)
        if (state.slice[i].card == card && left-- == 0) return &state.slice[i];
    return NULL;
}

int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    look("nvmlInit");
    memset(lost, 0, sizeof lost);
    started = state.init == SUCCESS;
    return state.init;
}

int nvmlShutdown(void) {
    look("nvmlShutdown");
    FILE *file = state.shutdowns[0] ? fopen(state.shutdowns, "a") : NULL;
    if (file) { fputc('x', file); fclose(file); }
    started = 0;
    return SUCCESS;
}

int nvmlDeviceGetCount_v2(unsigned *count) {
    look("nvmlDeviceGetCount");
    *count = state.cards;
    return started ? SUCCESS : UNINITIALIZED;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, uintptr_t *handle) {
    look("nvmlDeviceGetHandleByIndex");
    *handle = index + 1;
    return (int)index < state.cards ? SUCCESS : INVALID_ARGUMENT;
}

int nvmlDeviceGetName(uintptr_t handle, char *name, unsigned length) {
    look("nvmlDeviceGetName");
    Part *found = part(handle);
    if (found == NULL) return INVALID_ARGUMENT;
    snprintf(name, length, "%s", found->name);
    return SUCCESS;
}

int nvmlDeviceGetUUID(uintptr_t handle, char *uuid, unsigned length) {
    look("nvmlDeviceGetUUID");
    Part *found = part(handle);
    if (found == NULL) return INVALID_ARGUMENT;
    snprintf(uuid, length, "GPU-%s", found->name);
    return found->code == GPU_IS_LOST ? GPU_IS_LOST : SUCCESS;
}

int nvmlDeviceGetMigMode(uintptr_t handle, unsigned *current, unsigned *pending) {
    look("nvmlDeviceGetMigMode");
    *current = *pending = 0;
    for (int i = 0; i < state.slices; i++) *current |= state.slice[i].card == card_of(handle);
    return *current ? SUCCESS : NOT_SUPPORTED;
}

int nvmlDeviceGetMaxMigDeviceCount(uintptr_t handle, unsigned *count) { (void)handle; *count = 7; return SUCCESS; }

int nvmlDeviceGetMigDeviceHandleByIndex(uintptr_t handle, unsigned index, uintptr_t *slice) {
    look("nvmlDeviceGetMigDeviceHandleByIndex");
    *slice = handle + 100 * (index + 1);
    return part(*slice) ? SUCCESS : NOT_FOUND;
}

/* What asking for a part's memory answers. */
static int code_of(uintptr_t handle, const Part *asked) {
    int *is_lost = &lost[card_of(handle)];
    *is_lost |= asked->code == GPU_IS_LOST;
    return *is_lost ? GPU_IS_LOST : asked->code;
}

int nvmlDeviceGetMemoryInfo(uintptr_t handle, Memory *memory) {
    look("nvmlDeviceGetMemoryInfo");
    Part *found = part(handle);
    if (found == NULL) return INVALID_ARGUMENT;
    *memory = (Memory){found->total, found->free, found->total - found->free};
    return code_of(handle, found);
}

static int processes_of(uintptr_t handle, unsigned *count, ProcessInfo *info) {
    unsigned room = info ? *count : 0;
    *count = 0;
    for (int i = 0; i < state.processes; i++) {
        Process *one = &state.process[i];
        if (one->card != card_of(handle) || one->slice != slice_of(handle)) continue;
        if (*count < room) info[*count] = (ProcessInfo){one->pid, (unsigned long long)one->bytes, ~0u, ~0u};
        ++*count;
    }
    return *count > room ? INSUFFICIENT_SIZE : SUCCESS;
}

#ifdef OLD_DRIVER
int nvmlDeviceGetComputeRunningProcesses_v2(uintptr_t handle, unsigned *count, ProcessInfo *info) {
    look("nvmlDeviceGetComputeRunningProcesses");
    return processes_of(handle, count, info);
}
#else
int nvmlDeviceGetMemoryInfo_v2(uintptr_t handle, MemoryV2 *memory) {
    look("nvmlDeviceGetMemoryInfo");
    Part *found = part(handle);
    if (found == NULL) return INVALID_ARGUMENT;
    memory->total = found->total, memory->reserved = found->reserved, memory->free = found->free;
    memory->used = found->total - found->reserved - found->free;
    return code_of(handle, found);
}

int nvmlDeviceGetComputeRunningProcesses_v3(uintptr_t handle, unsigned *count, ProcessInfo *info) {
    look("nvmlDeviceGetComputeRunningProcesses");
    return processes_of(handle, count, info);
}
#endif
