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

#include "packed_device.h"

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
  long threads, packed, indirect, event_idx, batch, size, warmup, millis, cpu, peer, swap;
} options = {1, 0, 0, 0, 32, 256, 200, 1000, -1, -1, 0};

struct slot {
  uint64_t address;
};

// What one thread writes shares no cache line (nor its neighbour) with what the other one uses.
#define APART __attribute__((aligned(APART_BYTES)))

static struct packed_driver driver APART;
static struct packed_device device APART;
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
  // Packed: the two event suppression structures are where the two rings of a split queue are.
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
  driver.q = (struct driver_queue){
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
    driver.q.next[i] = (uint16_t)(i + 1);
  }
  device.q = (struct device_queue){
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
  driver.driver_event = device.driver_event = base + avail;
  driver.device_event = device.device_event = base + used;
  driver.avail_marks = device.avail_marks = AVAIL;
  driver.used_marks = device.used_marks = MARKS;
  device.outstanding = zeroed(ID_WORDS, sizeof(uint64_t));
  buffer.capacity = ELEMENTS;
  buffer.addresses = zeroed(ELEMENTS, sizeof(uint64_t));
  buffer.lengths = zeroed(ELEMENTS, sizeof(uint32_t));
  for (int i = 0; i < SLOTS; i++) {
    slots[i].address = GUEST + data + (uint64_t)i * SLOT;
  }
}

// The format is known when these are compiled, as it is to the JIT when only one of two is loaded.
#define FORMAT(type) static inline __attribute__((always_inline)) type

FORMAT(bool) kick(bool packed) {
  return packed ? packed_kick_prepare(&driver) : driver_kick_prepare(&driver.q);
}

FORMAT(void *) get(bool packed) {
  return packed ? packed_get(&driver) : driver_get(&driver.q);
}

FORMAT(void) disable_callback(bool packed) {
  if (packed) {
    packed_disable_callback(&driver);
  } else {
    driver_disable_callback(&driver.q);
  }
}

FORMAT(bool) enable_callback(bool packed) {
  return packed ? packed_enable_callback(&driver) : driver_enable_callback(&driver.q);
}

FORMAT(bool) publish(bool packed) {
  return packed ? packed_publish(&device) : device_publish(&device.q);
}

FORMAT(void) disable_notifications(bool packed) {
  if (packed) {
    packed_disable_notifications(&device);
  } else {
    device_disable_notifications(&device.q);
  }
}

FORMAT(bool) enable_notifications(bool packed) {
  return packed ? packed_enable_notifications(&device) : device_enable_notifications(&device.q);
}

FORMAT(void) offer(bool packed, struct slot *slot) {
  buffer_clear(&buffer);
  if (!buffer_readable(&buffer, slot->address, HEADER) ||
      !buffer_writable(&buffer, slot->address + PAGE, PAGE) ||
      !buffer_writable(&buffer, slot->address + HEADER, STATUS) ||
      !(packed ? packed_add(&driver, &buffer, slot) : driver_add(&driver.q, &buffer, slot))) {
    fail("the ring is full");
  }
}

FORMAT(int) serve(bool packed, long most) {
  int served = 0;
  int fault = OK;
  struct chain *chain;
  while (served < most &&
         (chain = packed ? packed_pop(&device, &fault) : device_pop(&device.q, &fault)) != NULL) {
    if (!(packed ? packed_push(&device, chain, chain->writable_length)
                 : device_push(&device.q, chain, chain->writable_length))) {
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
FORMAT(void) one_batch(bool packed) {
  for (long i = 0; i < options.batch; i++) {
    offer(packed, &slots[i]);
  }
  if (!kick(packed)) {
    fail("no notification of the device");
  }
  disable_notifications(packed);
  serve(packed, options.size);
  if (!publish(packed) || !enable_notifications(packed)) {
    fail("no notification of the driver");
  }
  disable_callback(packed);
  while (get(packed) != NULL) {
    done.bytes += driver.q.written;
    done.requests++;
  }
  if (!enable_callback(packed) || driver.q.fault != OK) {
    fail("the device broke a rule");
  }
}

FORMAT(void) run_one(bool packed, long millis) {
  uint64_t end = now() + (uint64_t)millis * 1000000;
  while (now() < end) {
    for (long i = 0; i < CHECK_CLOCK; i += options.batch) {
      one_batch(packed);
    }
  }
}

FORMAT(void) run_device(bool packed) {
  pin(options.peer);
  disable_notifications(packed);
  while (!LOAD_ACQUIRE(bool, &stop)) {
    if (serve(packed, options.batch) > 0) {
      publish(packed);
    } else {
      relax();
    }
  }
}

static void *device_thread(void *unused) {
  if (options.packed) {
    run_device(true);
  } else {
    run_device(false);
  }
  return unused;
}

// Gives back what it gets, until the time is over.
FORMAT(void) run_two(bool packed, long millis) {
  uint64_t end = now() + (uint64_t)millis * 1000000;
  uint64_t start = done.requests;
  uint64_t checked = done.requests;
  while (done.requests - checked < CHECK_CLOCK || (checked = done.requests, now() < end)) {
    int count = 0;
    struct slot *slot;
    while (count < options.batch && (slot = get(packed)) != NULL) {
      done.bytes += driver.q.written;
      offer(packed, slot);
      count++;
    }
    if (count > 0) {
      done.requests += (uint64_t)count;
      kick(packed);
    } else if (driver.q.fault != OK) {
      fail("the device broke a rule");
    } else {
      relax();
    }
  }
  if (done.requests == start) {
    fail("no progress");
  }
}

static void run(long millis) {
  if (options.threads == 2) {
    options.packed ? run_two(true, millis) : run_two(false, millis);
  } else {
    options.packed ? run_one(true, millis) : run_one(false, millis);
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

static void measure(double *ns, uint64_t *measured) {
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
      {"--threads=", &options.threads}, {"--packed=", &options.packed},
      {"--indirect=", &options.indirect}, {"--event-idx=", &options.event_idx}, {"--batch=", &options.batch},
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
    measure(&ns, &measured);
  } else {
    pthread_t thread;
    disable_callback(options.packed);
    for (long i = 0; i < 2 * options.batch; i++) {
      offer(options.packed, &slots[i]);
    }
    kick(options.packed);
    if (pthread_create(&thread, NULL, device_thread, NULL) != 0) {
      fail("no second thread");
    }
    measure(&ns, &measured);
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
      (double)driver.q.added_indirect / (double)driver.q.added);
  return 0;
}
