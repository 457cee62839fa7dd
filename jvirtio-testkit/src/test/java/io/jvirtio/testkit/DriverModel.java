// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DescriptorChain;
import io.jvirtio.queue.DriverQueue;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Deque;
import java.util.HashSet;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;

/** What must be true of a driver's queue, step by random step. */
final class DriverModel implements AutoCloseable {
  private static final int ELEMENTS = 8;
  private static final int SLOT = ELEMENTS * QueuePair.ELEMENT;

  /** A buffer of the driver, with memory of its own. */
  private static final class Request {
    final int slot;
    final int readable;
    final int writable;
    final byte[] data;
    byte[] answer;

    Request(int slot, int readable, int writable, byte[] data) {
      this.slot = slot;
      this.readable = readable;
      this.writable = writable;
      this.data = data;
    }
  }

  private record Taken(Request request, DriverModelPeer.Held held) {}

  private final Random random;
  private final boolean real;
  private final QueuePair pair;
  private final DriverQueue queue;
  private final MemorySegment data;
  private final Deque<Integer> slots = new ArrayDeque<>();

  /** A buffer goes through these, in this order. */
  private final Deque<Request> added = new ArrayDeque<>();

  private final Deque<Request> available = new ArrayDeque<>();
  private final List<Taken> taken = new ArrayList<>();
  private final Deque<Request> put = new ArrayDeque<>();
  private final Deque<Request> used = new ArrayDeque<>();

  /** Descriptors that each of them takes. */
  private final Map<Request, Integer> costs = new IdentityHashMap<>();

  private DriverModelPeer peer;
  private RawRing ring;
  private int availIdx;
  private int usedIdx;
  private int free;
  private boolean callback;

  /** How many used buffers the driver sleeps through; -1 when it is awake. */
  private int patience;

  long returned;
  long lies;
  long resets;

  DriverModel(Random random, DriverSession session, int size, boolean real) {
    this.random = random;
    this.real = real;
    this.pair = new QueuePair(session, size, ELEMENTS);
    this.queue = pair.queue;
    try {
      data = pair.memory.allocate((long) SLOT * size, 64);
    } catch (IOException e) {
      throw new IllegalStateException(e);
    }
    for (int i = 0; i < size; i++) {
      slots.add(i);
    }
    try {
      begin(0);
      if (random.nextInt(4) == 0) {
        fastForward();
      }
    } catch (PeerFault e) {
      throw new IllegalStateException(e);
    }
  }

  private void begin(int start) throws PeerFault {
    pair.connect(start);
    ring = pair.device.ring();
    peer = real ? DriverModelPeer.real(pair) : DriverModelPeer.scripted(pair.device);
    availIdx = start;
    usedIdx = start;
    free = queue.size();
    callback = true;
    patience = 0;
  }

  /** So that the indexes wrap around before long. */
  private void fastForward() throws PeerFault {
    pair.buffer.clear().readable(data.asSlice(0, 1));
    for (int i = 0; i < 0x1_0000 - 2 * queue.size(); i++) {
      assertTrue(queue.add(pair.buffer, this));
      queue.kickPrepare();
      ring.usedEntry(i, ring.availEntry(i), 0);
      ring.usedIdx(i + 1);
      assertSame(this, queue.get());
    }
    begin((int) queue.counters().added());
  }

  void step() throws PeerFault {
    if (random.nextInt(100) == 0) {
      misfortune();
    }
    switch (random.nextInt(38)) {
      case 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 -> {
        for (int i = 1 + random.nextInt(8); i > 0; i--) {
          add();
        }
      }
      case 12, 13, 14, 15 -> kick();
      case 16, 17, 18, 19 -> take();
      case 20, 21, 22, 23 -> use();
      case 24, 25, 26, 27 -> get(1 + random.nextInt(2 * queue.size()));
      case 28, 29 -> disable();
      case 30, 31 -> enable();
      case 32 -> prepare();
      case 33, 34 -> delayed();
      case 35 -> assertEquals(available.isEmpty(), peer.enableNotifications());
      case 36 -> peer.disableNotifications();
      default -> finish();
    }
    assertEquals(free, queue.freeCount());
    assertEquals(inFlight() + added.size(), queue.inFlight());
    assertEquals(!used.isEmpty(), queue.hasUsed());
  }

  private void misfortune() throws PeerFault {
    if (random.nextBoolean()) {
      reset(random.nextInt(4) == 0);
    } else {
      lie(random.nextInt(6));
    }
  }

  /** Published, and not taken back by the driver. */
  private int inFlight() {
    return available.size() + taken.size() + put.size() + used.size();
  }

  private void add() throws PeerFault {
    int count = 1 + random.nextInt(Math.min(ELEMENTS, queue.size()));
    int readable = random.nextInt(count + 1);
    boolean indirect = pair.session.isIndirect() && count > 1;
    if (slots.isEmpty()) {
      assertEquals(0, free, "as many slots as descriptors, or nothing was given back");
    }
    int slot = slots.isEmpty() ? 0 : slots.peek();
    byte[] bytes = new byte[readable * QueuePair.ELEMENT];
    random.nextBytes(bytes);
    MemorySegment memory = data.asSlice((long) SLOT * slot, SLOT);
    Request request = new Request(slot, readable, count - readable, bytes);
    pair.buffer.clear();
    for (int i = 0; i < count; i++) {
      MemorySegment element = memory.asSlice((long) QueuePair.ELEMENT * i, QueuePair.ELEMENT);
      if (i < readable) {
        pair.buffer.readable(element);
      } else {
        pair.buffer.writable(element);
      }
    }
    boolean fits = indirect ? free > 0 : free >= count;
    assertEquals(fits, queue.add(pair.buffer, request));
    if (fits) {
      MemorySegment.copy(bytes, 0, memory, ValueLayout.JAVA_BYTE, 0, bytes.length);
      int took = free - queue.freeCount();
      assertTrue(took == count || (indirect && took == 1), took + " for " + count);
      free -= took;
      costs.put(request, took);
      slots.remove();
      added.add(request);
    }
  }

  private void kick() {
    boolean due = false;
    if (pair.session.hasEventIdx()) {
      int event = ring.availEvent();
      for (int i = 0; i < added.size(); i++) {
        due |= ((availIdx + i) & 0xffff) == event;
      }
    } else {
      due = !added.isEmpty() && ring.usedFlags() == 0;
    }
    assertEquals(due, queue.kickPrepare());
    availIdx += added.size();
    available.addAll(added);
    added.clear();
    assertEquals(availIdx & 0xffff, ring.availIdx());
  }

  private void take() throws PeerFault {
    for (int i = random.nextInt(queue.size() + 1); i > 0; i--) {
      DriverModelPeer.Held held = peer.take();
      Request request = available.poll();
      assertEquals(request == null, held == null);
      if (held == null) {
        return;
      }
      assertArrayEquals(request.data, held.readable());
      assertEquals(request.writable * QueuePair.ELEMENT, held.writable());
      taken.add(new Taken(request, held));
    }
  }

  /** Uses some buffers in any order, and publishes them as one batch. */
  private void use() throws PeerFault {
    for (int i = Math.min(taken.size(), 1 + random.nextInt(8)); i > 0; i--) {
      Taken next = taken.remove(random.nextInt(taken.size()));
      next.request().answer =
          new byte[random.nextInt(next.request().writable * QueuePair.ELEMENT + 1)];
      random.nextBytes(next.request().answer);
      peer.put(next.held(), next.request().answer);
      put.add(next.request());
    }
    if (put.isEmpty() || random.nextInt(5) == 0) {
      return;
    }
    int before = used.size();
    usedIdx += put.size();
    used.addAll(put);
    put.clear();
    boolean wanted = peer.publish();
    if (!callback && !pair.session.hasEventIdx()) {
      assertFalse(wanted, "nobody asked");
    }
    if (patience >= 0 && before <= patience && used.size() > patience) {
      assertTrue(wanted, "the driver sleeps");
      patience = -1;
    }
  }

  private void get(int most) throws PeerFault {
    for (int i = 0; i < most; i++) {
      Request expected = used.poll();
      Object token = queue.get();
      assertSame(expected, token);
      if (token == null) {
        break;
      }
      assertEquals(expected.answer.length, queue.writtenLength());
      MemorySegment answer =
          data.asSlice(
              (long) SLOT * expected.slot + expected.readable * QueuePair.ELEMENT,
              expected.answer.length);
      assertArrayEquals(expected.answer, answer.toArray(ValueLayout.JAVA_BYTE));
      giveBack(expected);
      returned++;
      // The event has moved to the next one, or the flag still asks.
      patience = -1;
    }
    if (callback && used.isEmpty() && patience < 0) {
      assertNull(queue.get());
      patience = 0;
    }
  }

  private void giveBack(Request request) {
    free += costs.remove(request);
    slots.add(request.slot);
  }

  private void disable() {
    queue.disableCallback();
    callback = false;
    patience = -1;
  }

  private void enable() {
    assertEquals(used.isEmpty(), queue.enableCallback());
    callback = true;
    patience = used.isEmpty() ? 0 : -1;
  }

  private void prepare() throws PeerFault {
    int position = queue.prepareCallback();
    callback = true;
    patience = used.isEmpty() ? 0 : -1;
    use();
    assertEquals(!used.isEmpty(), queue.hasUsedSince(position));
  }

  private void delayed() {
    int most = pair.session.hasEventIdx() ? inFlight() * 3 / 4 : 0;
    assertEquals(used.size() <= most, queue.enableCallbackDelayed());
    callback = true;
    patience = used.size() <= most ? most : -1;
  }

  /** Everything comes back. */
  private void finish() throws PeerFault {
    kick();
    while (!available.isEmpty()) {
      take();
    }
    while (!taken.isEmpty() || !put.isEmpty()) {
      use();
    }
    get(Integer.MAX_VALUE);
    assertEquals(queue.size(), queue.freeCount());
    assertEquals(0, queue.inFlight());
  }

  private void reset(boolean otherSize) throws PeerFault {
    Set<Object> lost = Collections.newSetFromMap(new IdentityHashMap<>());
    lost.addAll(added);
    lost.addAll(available);
    lost.addAll(put);
    lost.addAll(used);
    taken.forEach(t -> lost.add(t.request()));
    for (Object token : pair.detachAll()) {
      assertTrue(lost.remove(token), "detached what was not in flight, or twice");
      giveBack((Request) token);
    }
    assertEquals(Set.of(), lost);
    assertEquals(queue.size(), queue.freeCount());
    for (Deque<Request> all : Arrays.asList(added, available, put, used)) {
      all.clear();
    }
    taken.clear();
    int largest = Integer.numberOfTrailingZeros(queue.maxSize());
    queue.reset(otherSize ? 1 << random.nextInt(largest + 1) : queue.size());
    assertNull(queue.fault());
    begin(0);
    resets++;
  }

  /** The device says what cannot be; nothing of it has an effect. */
  private void lie(int kind) throws PeerFault {
    while (!put.isEmpty()) {
      use();
    }
    get(Integer.MAX_VALUE);
    FaultReason expected;
    if (inFlight() == 0 || kind == 0) {
      int jump = inFlight() + 1 + random.nextInt(0xffff - inFlight());
      ring.usedIdx(usedIdx + jump);
      expected = FaultReason.USED_IDX_JUMP;
    } else {
      long id = 0;
      long length = 0;
      if (kind == 1) {
        id = queue.size() + random.nextInt(Integer.MAX_VALUE);
        expected = FaultReason.USED_ID_OUT_OF_RANGE;
      } else {
        id = random.nextInt(queue.size());
        expected = published().contains((int) id) ? null : FaultReason.USED_ID_NOT_AVAILABLE;
        if (expected == null) {
          length = 0xffff_ffffL;
          expected = pair.session.isLegacy() ? null : FaultReason.USED_LENGTH_TOO_LONG;
        }
      }
      ring.usedEntry(usedIdx, id, length);
      ring.usedIdx(usedIdx + 1);
    }
    if (expected == null) {
      // On the legacy interface a length is not believed, but no fault either.
      Object token = queue.get();
      assertNotNull(token);
      assertEquals(((Request) token).writable * QueuePair.ELEMENT, queue.writtenLength());
      forget((Request) token);
    } else {
      PeerFault fault = assertThrows(PeerFault.class, queue::get);
      assertEquals(expected, fault.reason());
      assertSame(fault, assertThrows(PeerFault.class, () -> queue.add(pair.buffer, this)));
      assertFalse(queue.kickPrepare());
    }
    lies++;
    reset(false);
  }

  /** The heads that the device may use, as the rings have them. */
  private Set<Integer> published() {
    Set<Integer> heads = new HashSet<>();
    for (int i = 0; i < available.size(); i++) {
      heads.add(ring.availEntry(availIdx - 1 - i));
    }
    for (Taken t : taken) {
      heads.add(head(t.held()));
    }
    return heads;
  }

  private static int head(DriverModelPeer.Held held) {
    return held.handle() instanceof ScriptedDevice.Buffer buffer
        ? buffer.head()
        : ((DescriptorChain) held.handle()).head();
  }

  private void forget(Request request) {
    added.remove(request);
    available.remove(request);
    put.remove(request);
    taken.removeIf(t -> t.request() == request);
    giveBack(request);
  }

  @Override
  public void close() {
    pair.close();
  }
}
