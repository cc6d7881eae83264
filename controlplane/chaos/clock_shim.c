/* Clocks that go wrong on demand, for a process that is started with this library preloaded.

   Every answer of clock_gettime, gettimeofday and time is changed as the control file says: 64 bytes,
   shared with whoever breaks the clocks, eight numbers of eight bytes each:

     0 since_ns      when the present rate began, on the true CLOCK_BOOTTIME
     1 ahead_ns      by how much all clocks were ahead then
     2 ppm           by how much they are faster since then, in millionths
     3 step_ns       by how much the wall clock is ahead beside that
     4 changed       how many answers were changed (counted here)
     5 version       odd while the others are being written

   Timers of the kernel keep the true time. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define NS 1000000000LL
#define FIELDS 8

static volatile int64_t *control;
static int (*true_gettime)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("LEADPLANE_CLOCK_FILE");
    true_gettime = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    if (path == NULL) return;
    int file = open(path, O_RDWR | O_CLOEXEC);
    if (file < 0) return;
    void *at = mmap(NULL, FIELDS * 8, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (at != MAP_FAILED) control = at;
}

static int64_t ahead_ns(int is_wall) {
    struct timespec now;
    int64_t since, ahead, ppm, step, version;
    if (control == NULL || true_gettime(CLOCK_BOOTTIME, &now) != 0) return 0;
    do {
        version = __atomic_load_n(&control[5], __ATOMIC_ACQUIRE);
        since = control[0], ahead = control[1], ppm = control[2], step = control[3];
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
    } while (version % 2 != 0 || version != __atomic_load_n(&control[5], __ATOMIC_ACQUIRE));
    int64_t passed = now.tv_sec * NS + now.tv_nsec - since;
    int64_t total = ahead + passed / 1000 * ppm / 1000 + (is_wall ? step : 0);
    if (total != 0) __atomic_add_fetch(&control[4], 1, __ATOMIC_RELAXED);
    return total;
}

int clock_gettime(clockid_t clock, struct timespec *at) {
    if (true_gettime == NULL) begin();
    int failed = true_gettime(clock, at);
    int is_wall = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE;
    int is_known = is_wall || clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_RAW ||
                   clock == CLOCK_MONOTONIC_COARSE || clock == CLOCK_BOOTTIME;
    if (failed || !is_known) return failed;
    int64_t shown = at->tv_sec * NS + at->tv_nsec + ahead_ns(is_wall);
    at->tv_sec = shown / NS;
    at->tv_nsec = shown % NS;
    return 0;
}

int gettimeofday(struct timeval *at, void *zone) {
    struct timespec now;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *at) {
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
    if (at != NULL) *at = now.tv_sec;
    return now.tv_sec;
}
