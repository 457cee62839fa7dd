// SPDX-License-Identifier: Apache-2.0
// The device side of a packed virtqueue: step by step what PackedDeviceQueue does.
#ifndef JVIRTIO_PACKED_DEVICE_H
#define JVIRTIO_PACKED_DEVICE_H

#include "device.h"
#include "packed.h"

struct packed_device {
  struct device_queue q;
  uint8_t *driver_event;
  uint8_t *device_event;
  uint64_t *outstanding;
  int next_avail;
  uint64_t avail_marks;
  int next_used;
  uint64_t used_marks;
  int held;
  int unpublished;
  int first_unpublished;
  int first_flags;
};

static inline int packed_walk_indirect(
    struct packed_device *p, struct chain *chain, uint64_t table, uint32_t bytes) {
  if (!p->q.indirect_allowed) {
    return INDIRECT_NOT_NEGOTIATED;
  }
  if (bytes == 0 || bytes % DESC_SIZE != 0) {
    return INDIRECT_LENGTH;
  }
  if (range_overflows(table, bytes)) {
    return ADDRESS_OVERFLOW;
  }
  uint32_t entries = bytes / DESC_SIZE;
  if (entries > (uint32_t)p->q.max_chain) {
    return CHAIN_TOO_LONG;
  }
  for (uint32_t i = 0; i < entries; i++) {
    uint64_t slot = table + (uint64_t)DESC_SIZE * i;
    uint64_t address, word;
    int fault = device_load(&p->q, slot, &address);
    if (fault == OK) {
      fault = device_load(&p->q, slot + PACKED_LEN, &word);
    }
    if (fault == OK) {
      fault = device_take(&p->q, chain, address, (uint32_t)word, (int)(word >> 48));
    }
    if (fault != OK) {
      return fault;
    }
  }
  return OK;
}

// Any chain, by every rule.
static __attribute__((noinline)) int packed_walk(struct packed_device *p, struct chain *chain) {
  chain->count = 0;
  chain->readable_count = 0;
  chain->readable_length = 0;
  chain->writable_length = 0;
  chain->writable_seen = false;
  int position = p->next_avail;
  bool wrap = p->avail_marks == AVAIL;
  int count = 0;
  uint64_t word;
  int flags;
  do {
    if (p->held + p->unpublished + count >= p->q.size) {
      return CHAIN_TOO_LONG;
    }
    const uint8_t *slot = p->q.desc + (size_t)DESC_SIZE * position;
    uint64_t address = LOAD(uint64_t, slot);
    word = LOAD(uint64_t, slot + PACKED_LEN);
    flags = (int)(word >> 48);
    if (!packed_available(flags, wrap)) {
      return DESCRIPTOR_NOT_AVAILABLE;
    }
    int fault;
    if ((flags & VIRTQ_DESC_F_INDIRECT) != 0) {
      if (count != 0 || (flags & VIRTQ_DESC_F_NEXT) != 0) {
        return INDIRECT_WITH_NEXT;
      }
      fault = packed_walk_indirect(p, chain, address, (uint32_t)word);
    } else {
      fault = device_take(&p->q, chain, address, (uint32_t)word, flags);
    }
    if (fault != OK) {
      return fault;
    }
    count++;
    if (++position == p->q.size) {
      position = 0;
      wrap = !wrap;
    }
  } while ((flags & VIRTQ_DESC_F_NEXT) != 0);
  chain->head = (uint16_t)(word >> 32);
  chain->descriptors = count;
  return OK;
}

static inline bool packed_set(
    struct chain *chain,
    int id,
    int descriptors,
    int count,
    int readable_count,
    uint64_t readable,
    uint64_t writable) {
  if (readable + writable > UINT64_C(1) << 32) {
    return false;
  }
  chain->head = id;
  chain->descriptors = descriptors;
  chain->count = count;
  chain->readable_count = readable_count;
  chain->readable_length = readable;
  chain->writable_length = writable;
  return true;
}

static inline bool packed_follow_ring(
    struct packed_device *p, struct chain *chain, uint64_t address, uint64_t word) {
  struct device_queue *q = &p->q;
  struct segment *segments = chain->segments;
  int most = q->size - p->held - p->unpublished;
  most = most < chain->capacity ? most : chain->capacity;
  int stop = q->size - p->next_avail;
  stop = stop < most ? stop : most;
  const uint8_t *slot = q->desc + (size_t)DESC_SIZE * p->next_avail;
  uint64_t expected = p->avail_marks;
  int count = 0;
  int readable_count = 0;
  uint64_t readable = 0;
  uint64_t total = 0;
  for (;;) {
    uint32_t bytes = (uint32_t)word;
    if ((word & MARKS_AND_INDIRECT) != expected || bytes - 1 >= 1 << 30 ||
        !near_reaches(&q->near, address, bytes)) {
      return false;
    }
    segments[count++] = (struct segment){near_host(&q->near, address), bytes};
    if ((word & AT_FLAGS(VIRTQ_DESC_F_WRITE)) == 0) {
      if (readable != total) {
        return false;
      }
      readable += bytes;
      readable_count = count;
    }
    total += bytes;
    if ((word & AT_FLAGS(VIRTQ_DESC_F_NEXT)) == 0) {
      break;
    }
    slot += DESC_SIZE;
    if (count == stop) {
      if (count == most) {
        return false;
      }
      stop = most;
      slot = q->desc;
      expected ^= MARKS;
    }
    address = LOAD(uint64_t, slot);
    word = LOAD(uint64_t, slot + PACKED_LEN);
  }
  return packed_set(
      chain, (uint16_t)(word >> 32), count, count, readable_count, readable, total - readable);
}

static inline bool packed_read_table(
    struct packed_device *p, struct chain *chain, int id, const uint8_t *table, int entries) {
  struct segment *segments = chain->segments;
  if (entries > chain->capacity) {
    return false;
  }
  int readable_count = 0;
  uint64_t readable = 0;
  uint64_t writable = 0;
  for (int i = 0; i < entries; i++) {
    const uint8_t *slot = table + (size_t)DESC_SIZE * i;
    uint64_t address = *(const volatile uint64_t *)slot;
    uint64_t word = *(const volatile uint64_t *)(slot + PACKED_LEN);
    uint32_t bytes = (uint32_t)word;
    if (bytes - 1 >= 1 << 30 || !near_reaches(&p->q.near, address, bytes)) {
      return false;
    }
    segments[i] = (struct segment){near_host(&p->q.near, address), bytes};
    if ((word & AT_FLAGS(VIRTQ_DESC_F_WRITE)) != 0) {
      writable += bytes;
    } else if (writable == 0) {
      readable += bytes;
      readable_count = i + 1;
    } else {
      return false;
    }
  }
  return packed_set(chain, id, 1, entries, readable_count, readable, writable);
}

static inline bool packed_read_usual(struct packed_device *p, struct chain *chain) {
  struct device_queue *q = &p->q;
  const uint8_t *slot = q->desc + (size_t)DESC_SIZE * p->next_avail;
  uint64_t address = LOAD(uint64_t, slot);
  uint64_t word = LOAD(uint64_t, slot + PACKED_LEN);
  if ((word & AT_FLAGS(VIRTQ_DESC_F_INDIRECT)) == 0) {
    return packed_follow_ring(p, chain, address, word);
  }
  uint32_t bytes = (uint32_t)word;
  if (!q->indirect_allowed ||
      (word & MARKS_AND_NEXT) != p->avail_marks || bytes == 0 ||
      bytes % DESC_SIZE != 0 || bytes / DESC_SIZE > (uint32_t)q->max_chain ||
      !near_reaches(&q->near_table, address, bytes)) {
    return false;
  }
  return packed_read_table(
      p,
      chain,
      (uint16_t)(word >> 32),
      near_host(&q->near_table, address),
      (int)(bytes / DESC_SIZE));
}

static inline int packed_has_next(const struct packed_device *p) {
  const uint8_t *slot = p->q.desc + (size_t)DESC_SIZE * p->next_avail;
  if ((LOAD_ACQUIRE(uint64_t, slot + PACKED_LEN) & MARKS) != p->avail_marks) {
    return NOTHING;
  }
  return p->held + p->unpublished >= p->q.size ? RING_OVERRUN : OK;
}

static inline int packed_fill(struct packed_device *p, struct chain *chain) {
  if (!packed_read_usual(p, chain)) {
    int fault = packed_walk(p, chain);
    if (fault != OK) {
      return fault;
    }
  }
  cursor_place(&chain->reader, chain, 0, chain->readable_count, chain->readable_length);
  cursor_place(
      &chain->writer, chain, chain->readable_count, chain->count, chain->writable_length);
  int id = chain->head;
  if ((p->outstanding[id >> 6] >> (id & 63) & 1) != 0) {
    return HEAD_IN_FLIGHT;
  }
  p->outstanding[id >> 6] |= UINT64_C(1) << (id & 63);
  p->held += chain->descriptors;
  p->next_avail += chain->descriptors;
  if (p->next_avail >= p->q.size) {
    p->next_avail -= p->q.size;
    p->avail_marks ^= MARKS;
  }
  return OK;
}

static inline struct chain *packed_pop(struct packed_device *p, int *fault) {
  struct device_queue *q = &p->q;
  q->current = NULL;
  *fault = q->open ? packed_has_next(p) : NOTHING;
  if (*fault != OK) {
    q->drained = true;
    return NULL;
  }
  q->drained = false;
  struct chain *chain = q->free_count > 0 ? q->free[--q->free_count] : chain_new();
  *fault = packed_fill(p, chain);
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

static inline void packed_complete(
    struct packed_device *p, int id, uint32_t written, int descriptors) {
  uint8_t *slot = p->q.desc + (size_t)DESC_SIZE * p->next_used;
  uint64_t word = p->used_marks | (uint64_t)id << 32 | written;
  if (written != 0) {
    word |= AT_FLAGS(VIRTQ_DESC_F_WRITE);
  }
  if (p->unpublished == 0) {
    p->first_unpublished = p->next_used;
    p->first_flags = (int)(word >> 48);
    word ^= USED;
  }
  STORE(uint64_t, slot + PACKED_LEN, word);
  p->unpublished += descriptors;
  p->next_used += descriptors;
  if (p->next_used >= p->q.size) {
    p->next_used -= p->q.size;
    p->used_marks ^= MARKS;
  }
}

static inline bool packed_push(struct packed_device *p, struct chain *chain, uint64_t written) {
  struct device_queue *q = &p->q;
  if (!chain->in_flight) {
    return !q->open;
  }
  q->current = chain;
  if (written > chain->writable_length) {
    return false;
  }
  if (q->open) {
    int id = chain->head;
    p->outstanding[id >> 6] &= ~(UINT64_C(1) << (id & 63));
    p->held -= chain->descriptors;
    packed_complete(
        p, id, written < 0xffffffff ? (uint32_t)written : 0xffffffff, chain->descriptors);
    q->returned++;
  }
  chain->in_flight = false;
  q->current = NULL;
  q->in_flight--;
  device_recycle(q, chain);
  return true;
}

static inline bool packed_publish(struct packed_device *p) {
  struct device_queue *q = &p->q;
  q->current = NULL;
  if (!q->open || p->unpublished == 0) {
    return false;
  }
  int count = p->unpublished;
  p->unpublished = 0;
  uint8_t *first = q->desc + (size_t)DESC_SIZE * p->first_unpublished;
  STORE_RELEASE(uint16_t, first + PACKED_FLAGS, p->first_flags);
  FULL_FENCE();
  bool due = packed_need_event(
      LOAD(uint32_t, p->driver_event), p->next_used, p->used_marks != 0, count, q->size, q->event_idx);
  if (due) {
    q->notified++;
  } else {
    q->suppressed++;
  }
  return due;
}

static inline bool packed_enable_notifications(struct packed_device *p) {
  int flags = p->q.event_idx ? RING_EVENT_FLAGS_DESC : RING_EVENT_FLAGS_ENABLE;
  STORE(
      uint32_t,
      p->device_event,
      (uint32_t)flags << 16 | p->next_avail | (p->avail_marks == AVAIL ? WRAP : 0));
  FULL_FENCE();
  const uint8_t *slot = p->q.desc + (size_t)DESC_SIZE * p->next_avail;
  return !packed_available(LOAD_ACQUIRE(uint16_t, slot + PACKED_FLAGS), p->avail_marks == AVAIL);
}

static inline void packed_disable_notifications(struct packed_device *p) {
  STORE(uint32_t, p->device_event, (uint32_t)RING_EVENT_FLAGS_DISABLE << 16);
}

#endif
