// SPDX-License-Identifier: Apache-2.0
// The driver side of a split virtqueue: step by step what SplitDriverQueue does.
#ifndef JVIRTIO_DRIVER_H
#define JVIRTIO_DRIVER_H

#include "memory.h"

struct driver_buffer {
  int capacity;
  int count;
  int readable;
  uint64_t bytes;
  uint64_t writable_bytes;
  uint64_t *addresses;
  uint32_t *lengths;
};

struct driver_queue {
  int size;
  int mask;
  int max_elements;
  bool indirect;
  bool event_idx;
  bool modern;
  bool swap;
  uint8_t *desc;
  uint8_t *avail;
  uint8_t *used;
  uint8_t *tables;
  uint64_t table_device;
  // By head, on the heap and not in what the device can write.
  uint16_t *next;
  void **tokens;
  uint16_t *taken;
  uint16_t *last;
  uint64_t *writable;
  uint32_t *position;
  int free_head;
  int free_count;
  int in_flight;
  uint32_t next_avail;
  uint32_t published_avail;
  uint16_t next_used;
  uint16_t used_idx;
  bool callback_enabled;
  uint64_t written;
  // Other threads may set it.
  int fault;
  uint64_t added, added_indirect, returned, notified, suppressed;
};

static inline void buffer_clear(struct driver_buffer *b) {
  b->count = 0;
  b->readable = 0;
  b->bytes = 0;
  b->writable_bytes = 0;
}

static inline bool buffer_add(struct driver_buffer *b, uint64_t address, uint64_t bytes) {
  if (bytes == 0 || bytes > 0xffffffff || b->bytes + bytes > UINT64_C(1) << 32 ||
      b->count == b->capacity) {
    return false;
  }
  b->addresses[b->count] = address;
  b->lengths[b->count] = (uint32_t)bytes;
  b->count++;
  b->bytes += bytes;
  return true;
}

static inline bool buffer_readable(struct driver_buffer *b, uint64_t address, uint64_t bytes) {
  if (b->readable != b->count || !buffer_add(b, address, bytes)) {
    return false;
  }
  b->readable++;
  return true;
}

static inline bool buffer_writable(struct driver_buffer *b, uint64_t address, uint64_t bytes) {
  if (!buffer_add(b, address, bytes)) {
    return false;
  }
  b->writable_bytes += bytes;
  return true;
}

static inline void put_descriptor(
    struct driver_queue *q, uint8_t *slot, uint64_t address, uint32_t length, int flags, int next) {
  STORE(uint64_t, slot, order64(q->swap, address));
  STORE(
      uint64_t,
      slot + 8,
      (uint64_t)order16(q->swap, (uint16_t)next) << 48 |
          (uint64_t)order16(q->swap, (uint16_t)flags) << 32 | order32(q->swap, length));
}

static inline int fill_chain(struct driver_queue *q, int head, const struct driver_buffer *b) {
  int at = head;
  for (int i = 0; i < b->count; i++) {
    int after = q->next[at];
    int flags = i < b->readable ? 0 : VIRTQ_DESC_F_WRITE;
    bool last = i == b->count - 1;
    put_descriptor(
        q,
        q->desc + (size_t)DESC_SIZE * at,
        b->addresses[i],
        b->lengths[i],
        last ? flags : flags | VIRTQ_DESC_F_NEXT,
        last ? 0 : after);
    if (last) {
      q->last[head] = (uint16_t)at;
    }
    at = after;
  }
  return at;
}

static inline void fill_table(
    struct driver_queue *q, uint8_t *table, const struct driver_buffer *b) {
  for (int i = 0; i < b->count; i++) {
    int flags = i < b->readable ? 0 : VIRTQ_DESC_F_WRITE;
    bool last = i == b->count - 1;
    put_descriptor(
        q,
        table + (size_t)DESC_SIZE * i,
        b->addresses[i],
        b->lengths[i],
        last ? flags : flags | VIRTQ_DESC_F_NEXT,
        last ? 0 : i + 1);
  }
}

static inline bool pays_indirect(const struct driver_queue *q, int count) {
  return q->indirect && count > 1 && count <= q->max_elements && count <= q->size &&
         q->size - q->free_count + count > q->size >> 2;
}

// False when there are too few free descriptors now, or the queue is broken.
static inline bool driver_add(struct driver_queue *q, const struct driver_buffer *b, void *token) {
  int count = b->count;
  if (LOAD_ACQUIRE(int, &q->fault) != OK || count == 0 || token == NULL) {
    return false;
  }
  int head = q->free_head;
  if (pays_indirect(q, count)) {
    if (q->free_count == 0) {
      return false;
    }
    size_t offset = (size_t)head * q->max_elements * DESC_SIZE;
    fill_table(q, q->tables + offset, b);
    put_descriptor(
        q,
        q->desc + (size_t)DESC_SIZE * head,
        q->table_device + offset,
        (uint32_t)count * DESC_SIZE,
        VIRTQ_DESC_F_INDIRECT,
        0);
    q->free_head = q->next[head];
    q->last[head] = (uint16_t)head;
    q->taken[head] = 1;
    q->free_count--;
    q->added_indirect++;
  } else {
    if (count > q->free_count) {
      return false;
    }
    q->free_head = fill_chain(q, head, b);
    q->taken[head] = (uint16_t)count;
    q->free_count -= count;
  }
  q->tokens[head] = token;
  q->writable[head] = b->writable_bytes;
  q->position[head] = q->next_avail;
  uint8_t *entry = q->avail + RING + (size_t)AVAIL_ENTRY_SIZE * (q->next_avail & q->mask);
  STORE(uint16_t, entry, order16(q->swap, (uint16_t)head));
  q->next_avail++;
  q->in_flight++;
  q->added++;
  return true;
}

// Publishes; returns whether the device wants to be notified.
static inline bool driver_kick_prepare(struct driver_queue *q) {
  if (q->next_avail == q->published_avail || LOAD_ACQUIRE(int, &q->fault) != OK) {
    return false;
  }
  uint32_t before = q->published_avail;
  q->published_avail = q->next_avail;
  STORE_RELEASE(uint16_t, q->avail + IDX, order16(q->swap, (uint16_t)q->next_avail));
  FULL_FENCE();
  bool due;
  if (q->event_idx) {
    uint8_t *event = q->used + RING + (size_t)USED_ENTRY_SIZE * q->size;
    due = need_event(
        order16(q->swap, LOAD(uint16_t, event)), (uint16_t)q->next_avail, (uint16_t)before);
  } else {
    due = (order16(q->swap, LOAD(uint16_t, q->used + FLAGS)) & VIRTQ_USED_F_NO_NOTIFY) == 0;
  }
  if (due) {
    q->notified++;
  } else {
    q->suppressed++;
  }
  return due;
}

static inline void put_used_event(struct driver_queue *q, uint16_t event) {
  STORE(
      uint16_t,
      q->avail + RING + (size_t)AVAIL_ENTRY_SIZE * q->size,
      order16(q->swap, event));
}

static inline void driver_free(struct driver_queue *q, int head) {
  q->next[q->last[head]] = (uint16_t)q->free_head;
  q->free_head = head;
  q->free_count += q->taken[head];
  q->tokens[head] = NULL;
  q->in_flight--;
}

static inline uint16_t load_used_idx(const struct driver_queue *q) {
  return order16(q->swap, LOAD_ACQUIRE(uint16_t, q->used + IDX));
}

// Other threads may break the queue as well: the first reason stays.
static inline void *driver_broken(struct driver_queue *q, int fault) {
  int none = OK;
  __atomic_compare_exchange_n(&q->fault, &none, fault, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
  return NULL;
}

// The token of the next used buffer, or NULL when there is none, or the queue is broken.
static inline void *driver_get(struct driver_queue *q) {
  if (LOAD_ACQUIRE(int, &q->fault) != OK) {
    return NULL;
  }
  if (q->next_used == q->used_idx) {
    uint16_t idx = load_used_idx(q);
    if ((uint16_t)(idx - q->next_used) >
        q->in_flight - (int)(q->next_avail - q->published_avail)) {
      return driver_broken(q, USED_IDX_JUMP);
    }
    q->used_idx = idx;
    if (idx == q->next_used) {
      return NULL;
    }
  }
  uint8_t *entry = q->used + RING + (size_t)USED_ENTRY_SIZE * (q->next_used & q->mask);
  uint32_t id = order32(q->swap, LOAD(uint32_t, entry));
  uint64_t bytes = order32(q->swap, LOAD(uint32_t, entry + 4));
  if (id >= (uint32_t)q->size) {
    return driver_broken(q, USED_ID_OUT_OF_RANGE);
  }
  int head = (int)id;
  void *token = q->tokens[head];
  if (token == NULL || (int32_t)(q->position[head] - q->published_avail) >= 0) {
    return driver_broken(q, USED_ID_NOT_AVAILABLE);
  }
  if (bytes > q->writable[head]) {
    if (q->modern) {
      return driver_broken(q, USED_LENGTH_TOO_LONG);
    }
    bytes = q->writable[head];
  }
  q->written = bytes;
  q->next_used++;
  driver_free(q, head);
  q->returned++;
  if (q->callback_enabled && q->event_idx) {
    put_used_event(q, q->next_used);
    FULL_FENCE();
  }
  return token;
}

static inline void driver_disable_callback(struct driver_queue *q) {
  if (!q->callback_enabled) {
    return;
  }
  q->callback_enabled = false;
  if (q->event_idx) {
    put_used_event(q, (uint16_t)(q->next_used - 1));
  } else {
    STORE(uint16_t, q->avail + FLAGS, order16(q->swap, VIRTQ_AVAIL_F_NO_INTERRUPT));
  }
}

// False when there is a used buffer already.
static inline bool driver_enable_callback(struct driver_queue *q) {
  q->callback_enabled = true;
  if (q->event_idx) {
    put_used_event(q, q->next_used);
  } else {
    STORE(uint16_t, q->avail + FLAGS, 0);
  }
  FULL_FENCE();
  return load_used_idx(q) == q->next_used;
}

#endif
