// SPDX-License-Identifier: Apache-2.0
// The driver side of a packed virtqueue, step by step what PackedDriverQueue does, and the layout.
#ifndef JVIRTIO_PACKED_H
#define JVIRTIO_PACKED_H

#include "driver.h"

enum {
  PACKED_LEN = 8,
  PACKED_FLAGS = 14,
  VIRTQ_DESC_F_AVAIL = 1 << 7,
  VIRTQ_DESC_F_USED = 1 << 15,
  RING_EVENT_FLAGS_ENABLE = 0,
  RING_EVENT_FLAGS_DISABLE = 1,
  RING_EVENT_FLAGS_DESC = 2,
  WRAP = 1 << 15,
  ID_WORDS = 1 << 10,
};

#define AT_FLAGS(flags) ((uint64_t)(flags) << 48)
#define AVAIL AT_FLAGS(VIRTQ_DESC_F_AVAIL)
#define USED AT_FLAGS(VIRTQ_DESC_F_USED)
#define MARKS AT_FLAGS(VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED)
#define MARKS_AND_NEXT (MARKS | AT_FLAGS(VIRTQ_DESC_F_NEXT))
#define MARKS_AND_INDIRECT (MARKS | AT_FLAGS(VIRTQ_DESC_F_INDIRECT))

// What both formats have is in q; next is the next free id, position the number of the buffer.
struct packed_driver {
  struct driver_queue q;
  uint8_t *driver_event;
  uint8_t *device_event;
  int next_avail;
  uint64_t avail_marks;
  int unpublished;
  int first_unpublished;
  int first_flags;
  uint32_t numbered;
  uint32_t published;
  int next_used;
  uint64_t used_marks;
};

static inline bool packed_available(int flags, bool wrap) {
  bool avail = (flags & VIRTQ_DESC_F_AVAIL) != 0;
  bool used = (flags & VIRTQ_DESC_F_USED) != 0;
  return avail == wrap && used != wrap;
}

static inline bool packed_used(int flags, bool wrap) {
  bool avail = (flags & VIRTQ_DESC_F_AVAIL) != 0;
  bool used = (flags & VIRTQ_DESC_F_USED) != 0;
  return avail == wrap && used == wrap;
}

static inline int available_flags(bool wrap) {
  return wrap ? VIRTQ_DESC_F_AVAIL : VIRTQ_DESC_F_USED;
}

static inline int used_flags(bool wrap) {
  return wrap ? VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED : 0;
}

static inline bool packed_need_event(
    uint32_t event, int position, bool wrap, int count, int size, bool event_idx) {
  int flags = event >> 16 & 3;
  if (flags != RING_EVENT_FLAGS_DESC || !event_idx) {
    return flags != RING_EVENT_FLAGS_DISABLE;
  }
  int offset = event & (WRAP - 1);
  if (((event & WRAP) != 0) != wrap) {
    offset -= size;
  }
  return need_event((uint16_t)offset, (uint16_t)position, (uint16_t)(position - count));
}

// The first descriptor of a batch; what is there until it is published: the marks of a lap before.
static inline uint64_t packed_hide(struct packed_driver *p, uint64_t word) {
  p->first_unpublished = p->next_avail;
  p->first_flags = (int)(word >> 48);
  return (word & (AT_FLAGS(1) - 1)) | (p->avail_marks == AVAIL ? 0 : MARKS);
}

static inline void packed_put(struct packed_driver *p, uint64_t address, uint64_t unmarked) {
  uint64_t word = unmarked | p->avail_marks;
  if (p->unpublished == 0) {
    word = packed_hide(p, word);
  }
  uint8_t *slot = p->q.desc + (size_t)DESC_SIZE * p->next_avail;
  STORE(uint64_t, slot, address);
  STORE(uint64_t, slot + PACKED_LEN, word);
  p->unpublished++;
  if (++p->next_avail == p->q.size) {
    p->next_avail = 0;
    p->avail_marks ^= MARKS;
  }
}

static inline uint64_t packed_element(const struct driver_buffer *b, int i) {
  return (i < b->readable ? 0 : AT_FLAGS(VIRTQ_DESC_F_WRITE)) |
         (i < b->count - 1 ? AT_FLAGS(VIRTQ_DESC_F_NEXT) : 0) | b->lengths[i];
}

// A buffer whose descriptors reach the ring's end.
static __attribute__((noinline)) void packed_fill_across(
    struct packed_driver *p, const struct driver_buffer *b, int id) {
  for (int i = 0; i < b->count; i++) {
    packed_put(p, b->addresses[i], packed_element(b, i) | (uint64_t)id << 32);
  }
}

static inline void packed_fill_ring(
    struct packed_driver *p, const struct driver_buffer *b, int id) {
  int count = b->count;
  int position = p->next_avail;
  if (count >= p->q.size - position) {
    packed_fill_across(p, b, id);
    return;
  }
  uint8_t *slot = p->q.desc + (size_t)DESC_SIZE * position;
  uint64_t word = p->avail_marks | (uint64_t)id << 32;
  for (int i = 1; i < count; i++) {
    STORE(uint64_t, slot + (size_t)DESC_SIZE * i, b->addresses[i]);
    STORE(uint64_t, slot + (size_t)DESC_SIZE * i + PACKED_LEN, word | packed_element(b, i));
  }
  word |= packed_element(b, 0);
  if (p->unpublished == 0) {
    word = packed_hide(p, word);
  }
  STORE(uint64_t, slot, b->addresses[0]);
  STORE(uint64_t, slot + PACKED_LEN, word);
  p->unpublished += count;
  p->next_avail = position + count;
}

static inline void packed_fill_table(uint8_t *table, const struct driver_buffer *b) {
  for (int i = 0; i < b->count; i++) {
    uint8_t *slot = table + (size_t)DESC_SIZE * i;
    int flags = i < b->readable ? 0 : VIRTQ_DESC_F_WRITE;
    STORE(uint64_t, slot, b->addresses[i]);
    STORE(uint64_t, slot + PACKED_LEN, AT_FLAGS(flags) | b->lengths[i]);
  }
}

static inline bool packed_add(
    struct packed_driver *p, const struct driver_buffer *b, void *token) {
  struct driver_queue *q = &p->q;
  int count = b->count;
  if (LOAD_ACQUIRE(int, &q->fault) != OK || count == 0 || token == NULL) {
    return false;
  }
  int id = q->free_head;
  int descriptors;
  if (q->indirect && count > 1 && count <= q->max_elements && count <= q->size) {
    if (q->free_count == 0) {
      return false;
    }
    size_t offset = (size_t)id * q->max_elements * DESC_SIZE;
    packed_fill_table(q->tables + offset, b);
    packed_put(
        p,
        q->table_device + offset,
        AT_FLAGS(VIRTQ_DESC_F_INDIRECT) | (uint64_t)id << 32 | (uint32_t)count * DESC_SIZE);
    descriptors = 1;
    q->added_indirect++;
  } else {
    if (count > q->free_count) {
      return false;
    }
    packed_fill_ring(p, b, id);
    descriptors = count;
  }
  q->free_head = q->next[id];
  q->free_count -= descriptors;
  q->taken[id] = (uint16_t)descriptors;
  q->tokens[id] = token;
  q->writable[id] = b->writable_bytes;
  q->position[id] = p->numbered;
  p->numbered++;
  q->in_flight++;
  q->added++;
  return true;
}

static inline bool packed_kick_prepare(struct packed_driver *p) {
  struct driver_queue *q = &p->q;
  if (p->unpublished == 0 || LOAD_ACQUIRE(int, &q->fault) != OK) {
    return false;
  }
  int count = p->unpublished;
  p->unpublished = 0;
  p->published = p->numbered;
  uint8_t *first = q->desc + (size_t)DESC_SIZE * p->first_unpublished;
  STORE_RELEASE(uint16_t, first + PACKED_FLAGS, p->first_flags);
  FULL_FENCE();
  bool due = packed_need_event(
      LOAD(uint32_t, p->device_event), p->next_avail, p->avail_marks == AVAIL, count, q->size, q->event_idx);
  if (due) {
    q->notified++;
  } else {
    q->suppressed++;
  }
  return due;
}

static inline void packed_put_driver_event(
    struct packed_driver *p, int offset, bool wrap, int flags) {
  STORE(uint32_t, p->driver_event, (uint32_t)flags << 16 | offset | (wrap ? WRAP : 0));
}

static inline void *packed_get(struct packed_driver *p) {
  struct driver_queue *q = &p->q;
  if (LOAD_ACQUIRE(int, &q->fault) != OK) {
    return NULL;
  }
  uint8_t *slot = q->desc + (size_t)DESC_SIZE * p->next_used;
  uint64_t word = LOAD_ACQUIRE(uint64_t, slot + PACKED_LEN);
  if ((word & MARKS) != p->used_marks) {
    return NULL;
  }
  int id = (uint16_t)(word >> 32);
  if (id >= q->size) {
    return driver_broken(q, USED_ID_OUT_OF_RANGE);
  }
  void *token = q->tokens[id];
  if (token == NULL || (int32_t)(q->position[id] - p->published) >= 0) {
    return driver_broken(q, USED_ID_NOT_AVAILABLE);
  }
  uint64_t bytes = (word & AT_FLAGS(VIRTQ_DESC_F_WRITE)) == 0 ? 0 : (uint32_t)word;
  if (bytes > q->writable[id]) {
    return driver_broken(q, USED_LENGTH_TOO_LONG);
  }
  q->written = bytes;
  p->next_used += q->taken[id];
  if (p->next_used >= q->size) {
    p->next_used -= q->size;
    p->used_marks ^= MARKS;
  }
  q->next[id] = (uint16_t)q->free_head;
  q->free_head = id;
  q->free_count += q->taken[id];
  q->tokens[id] = NULL;
  q->in_flight--;
  q->returned++;
  if (q->callback_enabled && q->event_idx) {
    packed_put_driver_event(p, p->next_used, p->used_marks != 0, RING_EVENT_FLAGS_DESC);
    FULL_FENCE();
  }
  return token;
}

static inline void packed_disable_callback(struct packed_driver *p) {
  if (p->q.callback_enabled) {
    p->q.callback_enabled = false;
    packed_put_driver_event(p, 0, false, RING_EVENT_FLAGS_DISABLE);
  }
}

static inline bool packed_enable_callback(struct packed_driver *p) {
  p->q.callback_enabled = true;
  packed_put_driver_event(
      p,
      p->next_used,
      p->used_marks != 0,
      p->q.event_idx ? RING_EVENT_FLAGS_DESC : RING_EVENT_FLAGS_ENABLE);
  FULL_FENCE();
  const uint8_t *slot = p->q.desc + (size_t)DESC_SIZE * p->next_used;
  return !packed_used(LOAD_ACQUIRE(uint16_t, slot + PACKED_FLAGS), p->used_marks != 0);
}

#endif
