// SPDX-License-Identifier: Apache-2.0
// The device side of a split virtqueue: step by step what SplitDeviceQueue and DescriptorChain do.
#ifndef JVIRTIO_DEVICE_H
#define JVIRTIO_DEVICE_H

#include "memory.h"

enum { MAX_INDIRECT_CHAIN = 1024, INITIAL_SEGMENTS = 8, KEPT_SEGMENTS = 256 };

struct cursor {
  int segment;
  int last;
  uint8_t *address;
  uint32_t left;
  uint64_t remaining;
  uint64_t position;
};

struct segment {
  uint8_t *address;
  uint64_t length;
};

struct chain {
  struct cursor reader;
  struct cursor writer;
  int capacity;
  struct segment *segments;
  int head;
  int descriptors;
  int count;
  int readable_count;
  uint64_t readable_length;
  uint64_t writable_length;
  bool writable_seen;
  bool in_flight;
};

struct device_queue {
  struct memory *memory;
  int size;
  int mask;
  bool indirect_allowed;
  bool event_idx;
  bool swap;
  bool open;
  bool drained;
  int max_chain;
  uint8_t *desc;
  uint8_t *avail;
  uint8_t *used;
  bool *outstanding;
  struct chain **free;
  int free_count;
  struct chain *current;
  int in_flight;
  uint16_t next_avail;
  uint16_t avail_idx;
  uint16_t next_used;
  uint16_t published_used;
  int region_hint;
  struct near_region near;
  struct near_region near_table;
  uint64_t chains, returned, notified, suppressed;
};

static inline void cursor_place(
    struct cursor *c, const struct chain *chain, int from, int to, uint64_t total) {
  c->segment = from;
  c->last = to;
  c->remaining = total;
  c->position = 0;
  if (from < to) {
    c->address = chain->segments[from].address;
    c->left = (uint32_t)chain->segments[from].length;
  } else {
    c->left = 0;
  }
}

static struct chain *chain_new(void) {
  struct chain *chain = zeroed(1, sizeof *chain);
  chain->capacity = INITIAL_SEGMENTS;
  chain->segments = zeroed(INITIAL_SEGMENTS, sizeof *chain->segments);
  return chain;
}

static void chain_resize(struct chain *chain, int capacity) {
  chain->capacity = capacity;
  chain->segments = realloc(chain->segments, (size_t)capacity * sizeof *chain->segments);
  if (chain->segments == NULL) {
    abort();
  }
}

static inline int chain_add(
    struct chain *chain,
    const struct memory *memory,
    uint64_t address,
    uint64_t bytes,
    bool writable,
    int region) {
  if (bytes == 0) {
    return OK;
  }
  if (range_overflows(address, bytes)) {
    return ADDRESS_OVERFLOW;
  }
  if (chain->readable_length + chain->writable_length + bytes > UINT64_C(1) << 32) {
    return CHAIN_LENGTH_OVERFLOW;
  }
  uint64_t at = address;
  uint64_t left = bytes;
  while (left > 0) {
    region = region_of(memory, at, region);
    if (region < 0) {
      return ADDRESS_OUTSIDE_MEMORY;
    }
    uint64_t step = remaining(memory, region, at);
    step = left < step ? left : step;
    step = step < 1 << 30 ? step : 1 << 30;
    if (chain->count == chain->capacity) {
      chain_resize(chain, chain->capacity * 2);
    }
    chain->segments[chain->count] = (struct segment){host_address(memory, region, at), step};
    chain->count++;
    at += step;
    left -= step;
  }
  if (writable) {
    chain->writable_length += bytes;
  } else {
    chain->readable_length += bytes;
    chain->readable_count = chain->count;
  }
  return OK;
}

static inline int device_take(
    struct device_queue *q, struct chain *chain, uint64_t address, uint64_t bytes, int flags) {
  bool writable = (flags & VIRTQ_DESC_F_WRITE) != 0;
  if (writable) {
    chain->writable_seen = true;
  } else if (chain->writable_seen) {
    return WRITABLE_BEFORE_READABLE;
  }
  if (bytes != 0) {
    int region = region_of(q->memory, address, q->region_hint);
    if (region < 0) {
      return ADDRESS_OUTSIDE_MEMORY;
    }
    q->region_hint = region;
    return chain_add(chain, q->memory, address, bytes, writable, region);
  }
  return OK;
}

// An indirect table needs no alignment and may cross a region's edge.
static inline int device_load(struct device_queue *q, uint64_t address, uint64_t *value) {
  int region = region_of(q->memory, address, q->region_hint);
  if (region < 0) {
    return ADDRESS_OUTSIDE_MEMORY;
  }
  q->region_hint = region;
  if (remaining(q->memory, region, address) >= 8) {
    *value = *(const volatile uint64_t *)host_address(q->memory, region, address);
    return OK;
  }
  *value = 0;
  for (int i = 0; i < 8; i++) {
    region = region_of(q->memory, address + i, region);
    if (region < 0) {
      return ADDRESS_OUTSIDE_MEMORY;
    }
    *value |= (uint64_t)LOAD(uint8_t, host_address(q->memory, region, address + i)) << (8 * i);
  }
  return OK;
}

static inline int walk_indirect(
    struct device_queue *q, struct chain *chain, uint64_t table, uint32_t bytes, int before) {
  if (!q->indirect_allowed) {
    return INDIRECT_NOT_NEGOTIATED;
  }
  if (bytes == 0 || bytes % DESC_SIZE != 0) {
    return INDIRECT_LENGTH;
  }
  if (range_overflows(table, bytes)) {
    return ADDRESS_OVERFLOW;
  }
  uint32_t entries = bytes / DESC_SIZE;
  uint32_t at = 0;
  for (int steps = before + 1;; steps++) {
    uint64_t slot = table + (uint64_t)DESC_SIZE * at;
    uint64_t address, word;
    int fault = device_load(q, slot, &address);
    if (fault == OK) {
      fault = device_load(q, slot + 8, &word);
    }
    if (fault != OK) {
      return fault;
    }
    int flags = order16(q->swap, (uint16_t)(word >> 32));
    if ((flags & VIRTQ_DESC_F_INDIRECT) != 0) {
      return INDIRECT_IN_INDIRECT;
    }
    fault = device_take(
        q, chain, order64(q->swap, address), order32(q->swap, (uint32_t)word), flags);
    if (fault != OK || (flags & VIRTQ_DESC_F_NEXT) == 0) {
      return fault;
    }
    at = order16(q->swap, (uint16_t)(word >> 48));
    if (at >= entries) {
      return NEXT_OUT_OF_RANGE;
    }
    if (steps >= q->max_chain) {
      return CHAIN_TOO_LONG;
    }
  }
}

// Any chain, by every rule.
static __attribute__((noinline)) int walk(
    struct device_queue *q, struct chain *chain, int head) {
  chain->head = head;
  chain->count = 0;
  chain->readable_count = 0;
  chain->readable_length = 0;
  chain->writable_length = 0;
  chain->writable_seen = false;
  int at = head;
  for (int steps = 1;; steps++) {
    uint8_t *slot = q->desc + (size_t)DESC_SIZE * at;
    uint64_t address = order64(q->swap, LOAD(uint64_t, slot));
    uint64_t word = LOAD(uint64_t, slot + 8);
    uint32_t bytes = order32(q->swap, (uint32_t)word);
    int flags = order16(q->swap, (uint16_t)(word >> 32));
    if ((flags & VIRTQ_DESC_F_INDIRECT) != 0) {
      if ((flags & VIRTQ_DESC_F_NEXT) != 0) {
        return INDIRECT_WITH_NEXT;
      }
      return walk_indirect(q, chain, address, bytes, steps - 1);
    }
    int fault = device_take(q, chain, address, bytes, flags);
    if (fault != OK || (flags & VIRTQ_DESC_F_NEXT) == 0) {
      return fault;
    }
    at = order16(q->swap, (uint16_t)(word >> 48));
    if (at >= q->size) {
      return NEXT_OUT_OF_RANGE;
    }
    if (steps >= q->size) {
      return CHAIN_TOO_LONG;
    }
  }
}

// Follows a usual chain from its first descriptor, which was read already.
static inline bool follow_usual(
    struct device_queue *q,
    struct chain *chain,
    int head,
    const uint8_t *table,
    uint32_t entries,
    uint64_t address,
    uint64_t word) {
  struct segment *segments = chain->segments;
  int count = 0;
  int readable_count = 0;
  uint64_t readable = 0;
  uint64_t writable = 0;
  int most = q->size < chain->capacity ? q->size : chain->capacity;
  for (;;) {
    int flags = (uint16_t)(word >> 32);
    uint32_t bytes = (uint32_t)word;
    if (count == most || (flags & VIRTQ_DESC_F_INDIRECT) != 0 || bytes - 1 >= 1 << 30 ||
        !near_reaches(&q->near, address, bytes)) {
      return false;
    }
    segments[count++] = (struct segment){near_host(&q->near, address), bytes};
    if ((flags & VIRTQ_DESC_F_WRITE) != 0) {
      writable += bytes;
    } else if (writable == 0) {
      readable += bytes;
      readable_count = count;
    } else {
      return false;
    }
    if ((flags & VIRTQ_DESC_F_NEXT) == 0) {
      break;
    }
    uint32_t at = (uint16_t)(word >> 48);
    if (at >= entries) {
      return false;
    }
    const uint8_t *slot = table + (size_t)DESC_SIZE * at;
    address = *(const volatile uint64_t *)slot;
    word = *(const volatile uint64_t *)(slot + 8);
  }
  if (readable + writable > UINT64_C(1) << 32) {
    return false;
  }
  chain->head = head;
  chain->count = count;
  chain->readable_count = readable_count;
  chain->readable_length = readable;
  chain->writable_length = writable;
  return true;
}

// Reads the chain when nothing in it is out of the ordinary. False, and the chain is not set, when
// it is not a usual one: walk begins again.
static inline bool read_usual(struct device_queue *q, struct chain *chain, int head) {
  if (q->swap) {
    return false;
  }
  const uint8_t *table = q->desc;
  const uint8_t *slot = table + (size_t)DESC_SIZE * head;
  uint32_t entries = (uint32_t)q->size;
  uint64_t address = LOAD(uint64_t, slot);
  uint64_t word = LOAD(uint64_t, slot + 8);
  int flags = (uint16_t)(word >> 32);
  if ((flags & VIRTQ_DESC_F_INDIRECT) != 0) {
    uint32_t bytes = (uint32_t)word;
    if (!q->indirect_allowed || (flags & VIRTQ_DESC_F_NEXT) != 0 || bytes == 0 ||
        bytes % DESC_SIZE != 0 || !near_reaches(&q->near_table, address, bytes)) {
      return false;
    }
    table = near_host(&q->near_table, address);
    entries = bytes / DESC_SIZE;
    address = *(const volatile uint64_t *)table;
    word = *(const volatile uint64_t *)(table + 8);
  }
  return follow_usual(q, chain, head, table, entries, address, word);
}

// OK when a buffer is available, NOTHING when none is.
static inline int device_has_next(struct device_queue *q) {
  if (q->next_avail != q->avail_idx) {
    return OK;
  }
  uint16_t idx = order16(q->swap, LOAD_ACQUIRE(uint16_t, q->avail + IDX));
  int fresh = (uint16_t)(idx - q->next_avail);
  if (fresh + q->in_flight > q->size) {
    return AVAIL_IDX_JUMP;
  }
  q->avail_idx = idx;
  return fresh != 0 ? OK : NOTHING;
}

static inline int device_fill(struct device_queue *q, struct chain *chain) {
  uint8_t *entry = q->avail + RING + (size_t)AVAIL_ENTRY_SIZE * (q->next_avail & q->mask);
  int head = order16(q->swap, LOAD(uint16_t, entry));
  if (head >= q->size) {
    return HEAD_OUT_OF_RANGE;
  }
  if (q->outstanding[head]) {
    return HEAD_IN_FLIGHT;
  }
  if (!read_usual(q, chain, head)) {
    int fault = walk(q, chain, head);
    if (fault != OK) {
      return fault;
    }
  }
  cursor_place(&chain->reader, chain, 0, chain->readable_count, chain->readable_length);
  cursor_place(
      &chain->writer, chain, chain->readable_count, chain->count, chain->writable_length);
  q->outstanding[head] = true;
  q->next_avail++;
  return OK;
}

static inline void device_recycle(struct device_queue *q, struct chain *chain) {
  if (chain->capacity > KEPT_SEGMENTS) {
    chain_resize(chain, INITIAL_SEGMENTS);
  }
  q->free[q->free_count++] = chain;
}

// The next available buffer, or NULL with the reason.
static inline struct chain *device_pop(struct device_queue *q, int *fault) {
  q->current = NULL;
  *fault = q->open ? device_has_next(q) : NOTHING;
  if (*fault != OK) {
    q->drained = true;
    return NULL;
  }
  q->drained = false;
  struct chain *chain = q->free_count > 0 ? q->free[--q->free_count] : chain_new();
  *fault = device_fill(q, chain);
  if (*fault != OK) {
    device_recycle(q, chain);
    return NULL;
  }
  chain->in_flight = true;
  q->current = chain;
  q->in_flight++;
  q->chains++;
  return chain;
}

// False when the device made a mistake.
static inline bool device_push(struct device_queue *q, struct chain *chain, uint64_t written) {
  if (!chain->in_flight) {
    return !q->open;
  }
  q->current = chain;
  if (written > chain->writable_length) {
    return false;
  }
  if (q->open) {
    q->outstanding[chain->head] = false;
    uint8_t *entry = q->used + RING + (size_t)USED_ENTRY_SIZE * (q->next_used & q->mask);
    STORE(uint32_t, entry, order32(q->swap, (uint32_t)chain->head));
    STORE(
        uint32_t,
        entry + 4,
        order32(q->swap, written < 0xffffffff ? (uint32_t)written : 0xffffffff));
    q->next_used++;
    q->returned++;
  }
  chain->in_flight = false;
  q->current = NULL;
  q->in_flight--;
  device_recycle(q, chain);
  return true;
}

// Returns whether the driver wants to be notified.
static inline bool device_publish(struct device_queue *q) {
  q->current = NULL;
  if (!q->open || q->next_used == q->published_used) {
    return false;
  }
  uint16_t before = q->published_used;
  q->published_used = q->next_used;
  STORE_RELEASE(uint16_t, q->used + IDX, order16(q->swap, q->next_used));
  FULL_FENCE();
  bool due;
  if (q->event_idx) {
    uint8_t *event = q->avail + RING + (size_t)AVAIL_ENTRY_SIZE * q->size;
    due = need_event(order16(q->swap, LOAD(uint16_t, event)), q->next_used, before);
  } else {
    due = (order16(q->swap, LOAD(uint16_t, q->avail + FLAGS)) & VIRTQ_AVAIL_F_NO_INTERRUPT) == 0;
  }
  if (due) {
    q->notified++;
  } else {
    q->suppressed++;
  }
  return due;
}

// False when a buffer became available in between.
static inline bool device_enable_notifications(struct device_queue *q) {
  if (q->event_idx) {
    STORE(
        uint16_t,
        q->used + RING + (size_t)USED_ENTRY_SIZE * q->size,
        order16(q->swap, q->next_avail));
  } else {
    STORE(uint16_t, q->used + FLAGS, 0);
  }
  FULL_FENCE();
  return order16(q->swap, LOAD_ACQUIRE(uint16_t, q->avail + IDX)) == q->next_avail;
}

static inline void device_disable_notifications(struct device_queue *q) {
  if (!q->event_idx) {
    STORE(uint16_t, q->used + FLAGS, order16(q->swap, VIRTQ_USED_F_NO_NOTIFY));
  }
}

#endif
