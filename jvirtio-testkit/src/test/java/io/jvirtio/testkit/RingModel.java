// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DescriptorChain;
import io.jvirtio.queue.DeviceQueue;
import io.jvirtio.queue.DriverBuffer;
import io.jvirtio.queue.DriverQueue;
import io.jvirtio.queue.DriverQueueOptions;
import io.jvirtio.queue.QueueCounters;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * A virtqueue as simple as it can be thought of, next to the real driver and device side of one: a
 * list of what is available, a list of what the device holds, a list of what is used. Steps are
 * done on both, and every answer is compared.
 *
 * <p>A step is a number; what makes no sense at its time does nothing, so that any part of a list
 * of steps is a list of steps too.
 */
final class RingModel implements AutoCloseable {
  private static final int MAX_ELEMENTS = 6;
  private static final int ELEMENT = 8;

  /** How the two sides are set up. */
  record Setup(boolean packed, boolean indirect, boolean eventIdx, boolean inOrder, int size) {
    FeatureBits features() {
      return FeatureBits.of(ReservedFeatures.VIRTIO_F_VERSION_1)
          .withIf(packed, ReservedFeatures.VIRTIO_F_RING_PACKED)
          .withIf(indirect, ReservedFeatures.VIRTIO_F_INDIRECT_DESC)
          .withIf(eventIdx, ReservedFeatures.VIRTIO_F_EVENT_IDX)
          .withIf(inOrder, ReservedFeatures.VIRTIO_F_IN_ORDER);
    }
  }

  /** One buffer in the model. */
  private static final class Buffer {
    final int number;
    final int readable;
    final int writable;
    final int slot;
    long written = -1;

    Buffer(int number, int readable, int writable, int slot) {
      this.number = number;
      this.readable = readable;
      this.writable = writable;
      this.slot = slot;
    }

    long pattern(int element) {
      return number * 1_000_003L + element * 7919L + 1;
    }
  }

  private record Held(DescriptorChain chain, Buffer buffer) {}

  private final Setup setup;
  private final TestDriverMemory memory = new TestDriverMemory();
  private final DriverQueue driver;
  private final DeviceQueue device;
  private final MemorySegment data;
  private final DriverBuffer description;
  private final Deque<Integer> freeSlots = new ArrayDeque<>();
  private final Deque<Buffer> added = new ArrayDeque<>();
  private final Deque<Buffer> available = new ArrayDeque<>();
  private final List<Held> held = new ArrayList<>();
  private final Deque<Buffer> finished = new ArrayDeque<>();
  private final Deque<Buffer> used = new ArrayDeque<>();
  private int numbers;

  /** The device sleeps: the next buffer that is published must bring a notification. */
  private boolean deviceSleeps;

  /** The driver sleeps: the next buffer that is used must bring a notification. */
  private boolean driverSleeps;

  /** With the delayed enable: unless one has come before, it comes when these are used. */
  private final Set<Buffer> awaited = new HashSet<>();

  RingModel(Setup setup) {
    this.setup = setup;
    int slots = Math.min(setup.size(), 512);
    try {
      driver =
          DriverQueue.create(
              new DriverQueueOptions(
                  0, "model", setup.size(), MAX_ELEMENTS, setup.features(), 0, false),
              memory,
              queue -> {});
      data = memory.allocate((long) slots * MAX_ELEMENTS * ELEMENT, 64);
      device =
          driver
              .layout()
              .open(
                  0, setup.size(), setup.features(), memory.snapshot(), false, new QueueCounters());
    } catch (IOException | PeerFault e) {
      throw new AssertionError(e);
    }
    description = new DriverBuffer(memory, MAX_ELEMENTS);
    for (int i = 0; i < slots; i++) {
      freeSlots.add(i);
    }
  }

  /**
   * Does one step.
   *
   * @param step any number
   * @throws AssertionError when the real queues and the model differ
   */
  void step(int step) {
    int what = step & 15;
    int how = step >>> 4;
    try {
      switch (what) {
        case 0, 1, 2, 3 -> add(how);
        case 4, 5 -> kick();
        case 6, 7, 8 -> pop();
        case 9, 10 -> push(how);
        case 11, 12 -> publish();
        case 13 -> get(how);
        case 14 -> driverSleep(how);
        default -> deviceSleep();
      }
    } catch (PeerFault fault) {
      throw new AssertionError("fault: " + fault.getMessage(), fault);
    }
  }

  private static void check(boolean holds, String what) {
    if (!holds) {
      throw new AssertionError(what);
    }
  }

  private MemorySegment element(Buffer buffer, int element) {
    return data.asSlice(((long) buffer.slot * MAX_ELEMENTS + element) * ELEMENT, ELEMENT);
  }

  private void add(int how) throws PeerFault {
    int readable = how % 4;
    int writable = how / 4 % 3;
    int count = readable + writable;
    if (count == 0 || count > setup.size() || freeSlots.isEmpty()) {
      return;
    }
    Buffer buffer = new Buffer(numbers, readable, writable, freeSlots.peek());
    description.clear();
    for (int i = 0; i < count; i++) {
      MemorySegment element = element(buffer, i);
      element.set(ValueLayout.JAVA_LONG, 0, i < readable ? buffer.pattern(i) : 0);
      if (i < readable) {
        description.readable(element);
      } else {
        description.writable(element);
      }
    }
    int free = driver.freeCount();
    boolean taken = driver.add(description, buffer);
    check(taken || free < count, "no room for " + count + " with " + free + " free");
    check(!setup.indirect() || taken || free == 0, "a table needs one descriptor");
    if (taken) {
      freeSlots.remove();
      added.add(buffer);
      numbers++;
    }
    check(driver.inFlight() == inFlight(), driver.inFlight() + " in flight, not " + inFlight());
  }

  private int inFlight() {
    return added.size() + available.size() + held.size() + finished.size() + used.size();
  }

  private void kick() {
    int count = added.size();
    boolean due = driver.kickPrepare();
    check(count > 0 || !due, "a notification for nothing");
    check(count == 0 || !deviceSleeps || due, "an available buffer notification is lost");
    available.addAll(added);
    added.clear();
    if (due) {
      deviceWakes();
    }
  }

  private void deviceWakes() {
    deviceSleeps = false;
    device.disableNotifications();
  }

  private void deviceSleep() {
    if (!deviceSleeps) {
      boolean asleep = device.enableNotifications();
      check(asleep == available.isEmpty(), "asleep: " + asleep + " with " + available.size());
      deviceSleeps = asleep;
      if (!asleep) {
        device.disableNotifications();
      }
    }
  }

  private void pop() throws PeerFault {
    if (deviceSleeps) {
      return;
    }
    DescriptorChain chain = device.pop();
    check((chain == null) == available.isEmpty(), "popped " + chain + " of " + available.size());
    if (chain == null) {
      return;
    }
    Buffer buffer = available.remove();
    check(chain.readableLength() == (long) buffer.readable * ELEMENT, "readable length");
    check(chain.writableLength() == (long) buffer.writable * ELEMENT, "writable length");
    for (int i = 0; i < buffer.readable; i++) {
      long value = chain.reader().le64();
      check(value == buffer.pattern(i), "element " + i + " of buffer " + buffer.number);
    }
    held.add(new Held(chain, buffer));
  }

  private void push(int how) throws PeerFault {
    if (held.isEmpty()) {
      return;
    }
    Held one = held.remove(how % held.size());
    Buffer buffer = one.buffer();
    // Mostly all of it, so that batches of in-order use come about.
    int elements = how % 5 == 0 ? how / 8 % (buffer.writable + 1) : buffer.writable;
    for (int i = 0; i < elements; i++) {
      one.chain().writer().le64(buffer.pattern(buffer.readable + i));
    }
    buffer.written = (long) elements * ELEMENT;
    device.push(one.chain(), buffer.written);
    finished.add(buffer);
  }

  private void publish() {
    int before = used.size();
    boolean due = device.publish();
    if (setup.inOrder()) {
      publishInOrder();
    } else {
      used.addAll(finished);
      finished.clear();
    }
    int fresh = used.size() - before;
    check(fresh > 0 || !due, "a notification for nothing");
    used.forEach(awaited::remove);
    check(
        fresh == 0 || !driverSleeps || !awaited.isEmpty() || due,
        "a used buffer notification is lost");
    if (due) {
      driverSleeps = false;
      driver.disableCallback();
    }
  }

  /** What the device has finished becomes used in the order in which it was made available. */
  private void publishInOrder() {
    List<Buffer> done = new ArrayList<>(finished);
    done.sort((a, b) -> Integer.compare(a.number, b.number));
    int oldestHeld = Integer.MAX_VALUE;
    for (Held one : held) {
      oldestHeld = Math.min(oldestHeld, one.buffer().number);
    }
    for (Buffer buffer : done) {
      if (buffer.number < oldestHeld) {
        used.add(buffer);
        finished.remove(buffer);
      }
    }
  }

  private void get(int how) throws PeerFault {
    for (int count = how % 8; count >= 0; count--) {
      check(driver.hasUsed() != used.isEmpty(), "hasUsed with " + used.size() + " used");
      Object token = driver.get();
      Buffer expected = used.poll();
      check(token == expected, "got " + token + " for buffer " + number(expected));
      if (expected == null) {
        return;
      }
      // Whoever takes buffers with the callback enabled is told of the one after the last.
      awaited.clear();
      check(
          driver.writtenLength() == expected.written,
          "written " + driver.writtenLength() + ", not " + expected.written);
      for (int i = 0; i < expected.written / ELEMENT; i++) {
        int at = expected.readable + i;
        long value = element(expected, at).get(ValueLayout.JAVA_LONG, 0);
        check(value == expected.pattern(at), "content of buffer " + expected.number);
      }
      freeSlots.add(expected.slot);
    }
    if (!used.isEmpty()) {
      // It knows of more, and will not wait before it has taken that.
      driverSleeps = false;
      driver.disableCallback();
    }
  }

  private static String number(Buffer buffer) {
    return buffer == null ? "none" : String.valueOf(buffer.number);
  }

  private void driverSleep(int how) {
    if (driverSleeps) {
      return;
    }
    awaited.clear();
    boolean asleep;
    switch (how % 3) {
      case 0 -> asleep = driver.enableCallback();
      case 1 -> asleep = !driver.hasUsedSince(driver.prepareCallback());
      default -> asleep = driver.enableCallbackDelayed();
    }
    if (how % 3 == 2) {
      check(asleep || !used.isEmpty(), "no sleep although nothing is used");
      awaited.addAll(available);
      awaited.addAll(finished);
      held.forEach(one -> awaited.add(one.buffer()));
    } else {
      check(asleep == used.isEmpty(), "asleep: " + asleep + " with " + used.size() + " used");
    }
    driverSleeps = asleep;
    if (!asleep) {
      driver.disableCallback();
    }
  }

  /** Lets everything come to its end; nothing must be left. */
  void drain() {
    deviceWakes();
    driverSleeps = false;
    driver.disableCallback();
    for (int i = 8 * (inFlight() + 1); i > 0 && inFlight() > 0; i--) {
      step(4);
      step(6);
      step(9 | 16);
      step(11);
      step(13 | 7 << 4);
    }
    check(inFlight() == 0, inFlight() + " buffers never came back");
    check(driver.freeCount() == setup.size(), driver.freeCount() + " descriptors are free");
    check(device.inFlight() == 0, "the device holds buffers");
  }

  @Override
  public void close() {
    driver.release();
    memory.release(data);
    check(memory.allocated() == 0, "memory is lost");
    memory.close();
  }
}
