// SPDX-License-Identifier: Apache-2.0
// The C twin of io.jvirtio.bench.RingTwin: the same requests over the same algorithm, timed the same
// way. Started by scripts/bench ring; prints one JSON object.
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "device.h"
#include "driver.h"

enum {
  HEADER = 16,
  PAGE = 4096,
  STATUS = 1,
  SLOT = 2 * PAGE,
  SLOTS = 64,
  ELEMENTS = 3,
  CHECK_CLOCK = 1024
};

static const uint64_t GUEST = 0x40000000;

static struct {
  long threads, indirect, event_idx, batch, size, warmup, millis, cpu, peer, swap;
} options = {1, 0, 0, 32, 256, 200, 1000, -1, -1, 0};

struct slot {
  uint64_t address;
};

// What one thread writes shares no cache line (nor its neighbour) with what the other one uses.
#define APART __attribute__((aligned(APART_BYTES)))

static struct driver_queue driver APART;
static struct device_queue device APART;
static struct driver_buffer buffer APART;
static struct slot slots[SLOTS] APART;
static bool stop APART;
static struct {
  uint64_t requests, bytes;
} done APART;

static void fail(const char *what) {
  fprintf(stderr, "ring_bench: %s\n", what);
  exit(1);
}

static void relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void pin(long cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (cpu >= 0) {
    CPU_SET((size_t)cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0) {
      fail("cannot be pinned");
    }
  }
}

static void open_queues(void) {
  int size = (int)options.size;
  size_t avail = ((size_t)DESC_SIZE * size + 63) & ~(size_t)63;
  size_t used = (avail + 6 + (size_t)AVAIL_ENTRY_SIZE * size + 63) & ~(size_t)63;
  size_t tables = (used + 6 + (size_t)USED_ENTRY_SIZE * size + 63) & ~(size_t)63;
  size_t data = (tables + (size_t)size * ELEMENTS * DESC_SIZE + PAGE - 1) & ~(size_t)(PAGE - 1);
  size_t total = data + (size_t)SLOTS * SLOT;
  uint8_t *base = mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) {
    fail("no memory");
  }
  memset(base, 0, total);
  struct memory *memory = zeroed(1, sizeof *memory);
  memory->count = 1;
  memory->regions = zeroed(1, sizeof *memory->regions);
  memory->regions[0] = (struct region){GUEST, total, base};
  driver = (struct driver_queue){
      .size = size,
      .mask = size - 1,
      .max_elements = ELEMENTS,
      .indirect = options.indirect,
      .event_idx = options.event_idx,
      .modern = true,
      .swap = options.swap,
      .desc = base,
      .avail = base + avail,
      .used = base + used,
      .tables = base + tables,
      .table_device = GUEST + tables,
      .next = zeroed(size, sizeof(uint16_t)),
      .tokens = zeroed(size, sizeof(void *)),
      .taken = zeroed(size, sizeof(uint16_t)),
      .last = zeroed(size, sizeof(uint16_t)),
      .writable = zeroed(size, sizeof(uint64_t)),
      .position = zeroed(size, sizeof(uint32_t)),
      .free_count = size,
      .callback_enabled = true,
  };
  for (int i = 0; i < size; i++) {
    driver.next[i] = (uint16_t)(i + 1);
  }
  device = (struct device_queue){
      .memory = memory,
      .size = size,
      .mask = size - 1,
      .indirect_allowed = options.indirect,
      .event_idx = options.event_idx,
      .swap = options.swap,
      .open = true,
      .drained = true,
      .max_chain = size > MAX_INDIRECT_CHAIN ? size : MAX_INDIRECT_CHAIN,
      .desc = base,
      .avail = base + avail,
      .used = base + used,
      .outstanding = zeroed(size, sizeof(bool)),
      .free = zeroed(size, sizeof(struct chain *)),
      .near = {.memory = memory, .size = -1},
      .near_table = {.memory = memory, .size = -1},
  };
  buffer.capacity = ELEMENTS;
  buffer.addresses = zeroed(ELEMENTS, sizeof(uint64_t));
  buffer.lengths = zeroed(ELEMENTS, sizeof(uint32_t));
  for (int i = 0; i < SLOTS; i++) {
    slots[i].address = GUEST + data + (uint64_t)i * SLOT;
  }
}

static void offer(struct slot *slot) {
  buffer_clear(&buffer);
  if (!buffer_readable(&buffer, slot->address, HEADER) ||
      !buffer_writable(&buffer, slot->address + PAGE, PAGE) ||
      !buffer_writable(&buffer, slot->address + HEADER, STATUS) ||
      !driver_add(&driver, &buffer, slot)) {
    fail("the ring is full");
  }
}

static int serve(long most) {
  int served = 0;
  int fault = OK;
  struct chain *chain;
  while (served < most && (chain = device_pop(&device, &fault)) != NULL) {
    if (!device_push(&device, chain, chain->writable_length)) {
      fail("pushed wrongly");
    }
    served++;
  }
  if (fault != OK && fault != NOTHING) {
    fail("the driver broke a rule");
  }
  return served;
}

// What one notification each way sets off, on one thread.
static void one_batch(void) {
  for (long i = 0; i < options.batch; i++) {
    offer(&slots[i]);
  }
  if (!driver_kick_prepare(&driver)) {
    fail("no notification of the device");
  }
  device_disable_notifications(&device);
  serve(options.size);
  if (!device_publish(&device) || !device_enable_notifications(&device)) {
    fail("no notification of the driver");
  }
  driver_disable_callback(&driver);
  while (driver_get(&driver) != NULL) {
    done.bytes += driver.written;
    done.requests++;
  }
  if (!driver_enable_callback(&driver) || driver.fault != OK) {
    fail("the device broke a rule");
  }
}

static void run_one(long millis) {
  uint64_t end = now() + (uint64_t)millis * 1000000;
  while (now() < end) {
    for (long i = 0; i < CHECK_CLOCK; i += options.batch) {
      one_batch();
    }
  }
}

static void *device_thread(void *unused) {
  pin(options.peer);
  device_disable_notifications(&device);
  while (!LOAD_ACQUIRE(bool, &stop)) {
    if (serve(options.batch) > 0) {
      device_publish(&device);
    } else {
      relax();
    }
  }
  return unused;
}

// Gives back what it gets, until the time is over.
static void run_two(long millis) {
  uint64_t end = now() + (uint64_t)millis * 1000000;
  uint64_t start = done.requests;
  uint64_t checked = done.requests;
  while (done.requests - checked < CHECK_CLOCK || (checked = done.requests, now() < end)) {
    int count = 0;
    struct slot *slot;
    while (count < options.batch && (slot = driver_get(&driver)) != NULL) {
      done.bytes += driver.written;
      offer(slot);
      count++;
    }
    if (count > 0) {
      done.requests += (uint64_t)count;
      driver_kick_prepare(&driver);
    } else if (driver.fault != OK) {
      fail("the device broke a rule");
    } else {
      relax();
    }
  }
  if (done.requests == start) {
    fail("no progress");
  }
}

// One thread: its processor time, which other processes do not add to. Two: what a clock shows.
static uint64_t spent(void) {
  struct timespec time;
  if (options.threads == 2) {
    return now();
  }
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void measure(void (*run)(long), double *ns, uint64_t *measured) {
  run(options.warmup);
  uint64_t before = done.requests;
  uint64_t start = spent();
  run(options.millis);
  uint64_t end = spent();
  *measured = done.requests - before;
  *ns = (double)(end - start) / (double)*measured;
}

static void parse(int count, char **arguments) {
  static const struct {
    const char *name;
    long *value;
  } names[] = {
      {"--threads=", &options.threads}, {"--indirect=", &options.indirect},
      {"--event-idx=", &options.event_idx}, {"--batch=", &options.batch},
      {"--size=", &options.size}, {"--warmup=", &options.warmup},
      {"--millis=", &options.millis}, {"--cpu=", &options.cpu},
      {"--peer=", &options.peer}, {"--swap=", &options.swap},
  };
  for (int i = 1; i < count; i++) {
    bool known = false;
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
      size_t length = strlen(names[n].name);
      if (strncmp(arguments[i], names[n].name, length) == 0) {
        *names[n].value = strtol(arguments[i] + length, NULL, 10);
        known = true;
      }
    }
    if (!known) {
      fail("unknown option");
    }
  }
  if (options.batch < 1 || options.batch > SLOTS / 2 || options.size < 8 ||
      options.size > 32768 || (options.size & (options.size - 1)) != 0) {
    fail("--batch or --size out of range");
  }
}

int main(int count, char **arguments) {
  parse(count, arguments);
  open_queues();
  double ns;
  uint64_t measured;
  pin(options.cpu);
  if (options.threads == 1) {
    measure(run_one, &ns, &measured);
  } else {
    pthread_t thread;
    driver_disable_callback(&driver);
    for (long i = 0; i < 2 * options.batch; i++) {
      offer(&slots[i]);
    }
    driver_kick_prepare(&driver);
    if (pthread_create(&thread, NULL, device_thread, NULL) != 0) {
      fail("no second thread");
    }
    measure(run_two, &ns, &measured);
    __atomic_store_n(&stop, true, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
  }
  if (done.bytes != done.requests * (PAGE + STATUS)) {
    fail("bytes were lost");
  }
  printf(
      "{\"side\": \"c\", \"threads\": %ld, \"requests\": %llu, \"ns\": %.2f, \"indirect\": %.3f}\n",
      options.threads,
      (unsigned long long)measured,
      ns,
      (double)driver.added_indirect / (double)driver.added);
  return 0;
}
