// SPDX-License-Identifier: Apache-2.0
// What both sides of the twin share: layout, byte order, guest memory.
#ifndef JVIRTIO_MEMORY_H
#define JVIRTIO_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
  DESC_SIZE = 16,
  FLAGS = 0,
  IDX = 2,
  RING = 4,
  AVAIL_ENTRY_SIZE = 2,
  USED_ENTRY_SIZE = 8,
  VIRTQ_DESC_F_NEXT = 1,
  VIRTQ_DESC_F_WRITE = 2,
  VIRTQ_DESC_F_INDIRECT = 4,
  VIRTQ_AVAIL_F_NO_INTERRUPT = 1,
  VIRTQ_USED_F_NO_NOTIFY = 1,
};

// Each rule that a peer can break; 0 is none.
enum fault {
  OK,
  NOTHING,
  ADDRESS_OUTSIDE_MEMORY,
  ADDRESS_OVERFLOW,
  AVAIL_IDX_JUMP,
  HEAD_OUT_OF_RANGE,
  HEAD_IN_FLIGHT,
  NEXT_OUT_OF_RANGE,
  CHAIN_TOO_LONG,
  CHAIN_LENGTH_OVERFLOW,
  WRITABLE_BEFORE_READABLE,
  INDIRECT_NOT_NEGOTIATED,
  INDIRECT_IN_INDIRECT,
  INDIRECT_WITH_NEXT,
  INDIRECT_LENGTH,
  USED_IDX_JUMP,
  USED_ID_OUT_OF_RANGE,
  USED_ID_NOT_AVAILABLE,
  USED_LENGTH_TOO_LONG,
  DESCRIPTOR_NOT_AVAILABLE,
  RING_OVERRUN,
};

// Shared memory is read and written through these, once each, so that no check is of another value
// than the one that is used.
#define LOAD(type, address) __atomic_load_n((const type *)(address), __ATOMIC_RELAXED)
#define LOAD_ACQUIRE(type, address) __atomic_load_n((const type *)(address), __ATOMIC_ACQUIRE)
#define STORE(type, address, value) \
  __atomic_store_n((type *)(address), (type)(value), __ATOMIC_RELAXED)
#define STORE_RELEASE(type, address, value) \
  __atomic_store_n((type *)(address), (type)(value), __ATOMIC_RELEASE)
#define FULL_FENCE() __atomic_thread_fence(__ATOMIC_SEQ_CST)

// A legacy session of a big-endian guest swaps; known only when negotiation ends.
static inline uint16_t order16(bool swap, uint16_t value) {
  return swap ? __builtin_bswap16(value) : value;
}

static inline uint32_t order32(bool swap, uint32_t value) {
  return swap ? __builtin_bswap32(value) : value;
}

static inline uint64_t order64(bool swap, uint64_t value) {
  return swap ? __builtin_bswap64(value) : value;
}

static inline bool need_event(uint16_t event, uint16_t after, uint16_t before) {
  return (uint16_t)(after - event - 1) < (uint16_t)(after - before);
}

struct region {
  uint64_t guest;
  uint64_t size;
  uint8_t *host;
};

struct memory {
  int count;
  struct region *regions;
};

static inline bool holds(const struct memory *memory, int region, uint64_t address) {
  return address - memory->regions[region].guest < memory->regions[region].size;
}

// The region that holds an address, or -1.
static inline int region_of(const struct memory *memory, uint64_t address, int hint) {
  if (hint >= 0 && hint < memory->count && holds(memory, hint, address)) {
    return hint;
  }
  for (int i = 0; i < memory->count; i++) {
    if (holds(memory, i, address)) {
      return i;
    }
  }
  return -1;
}

static inline uint64_t remaining(const struct memory *memory, int region, uint64_t address) {
  return memory->regions[region].size - (address - memory->regions[region].guest);
}

static inline uint8_t *host_address(const struct memory *memory, int region, uint64_t address) {
  return memory->regions[region].host + (address - memory->regions[region].guest);
}

// The region that was needed last: see NearRegion.
struct near_region {
  const struct memory *memory;
  int region;
  uint64_t start;
  int64_t size;
  uint8_t *host;
};

static inline bool near_holds(const struct near_region *near, uint64_t address, uint64_t bytes) {
  int64_t offset = (int64_t)(address - near->start);
  return offset >= 0 && offset <= near->size - (int64_t)bytes;
}

static __attribute__((noinline)) bool near_move(
    struct near_region *near, uint64_t address, uint64_t bytes) {
  int found = region_of(near->memory, address, near->region);
  if (found < 0) {
    return false;
  }
  const struct region *region = &near->memory->regions[found];
  near->region = found;
  near->start = region->guest;
  near->size = (int64_t)region->size;
  near->host = region->host;
  return near_holds(near, address, bytes);
}

static inline bool near_reaches(struct near_region *near, uint64_t address, uint64_t bytes) {
  return near_holds(near, address, bytes) || near_move(near, address, bytes);
}

static inline uint8_t *near_host(const struct near_region *near, uint64_t address) {
  return near->host + (address - near->start);
}

static inline bool range_overflows(uint64_t address, uint64_t length) {
  return address + (length - 1) < address;
}

// Two cache lines, which processors fetch together.
enum { APART_BYTES = 128 };

static inline void *zeroed(size_t count, size_t size) {
  size_t bytes = (count * size + APART_BYTES - 1) & ~(size_t)(APART_BYTES - 1);
  void *memory = aligned_alloc(APART_BYTES, bytes);
  if (memory == NULL) {
    abort();
  }
  return memset(memory, 0, bytes);
}

#endif
