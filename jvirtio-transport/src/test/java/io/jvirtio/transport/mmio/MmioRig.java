// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.mmio;

import io.jvirtio.device.InlineOwner;
import io.jvirtio.memory.GuestMemory;
import io.jvirtio.memory.MemoryRegion;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.spec.SplitRing;
import io.jvirtio.transport.TestDevice;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;

/** A device behind mmio registers, and a driver of it that writes registers by hand. */
final class MmioRig implements AutoCloseable {
  /** Of the entropy device, which has no features of its own. */
  static final int TYPE = 4;

  static final long RAM = 0x1_0000_0000L;
  static final int PAGE = 4096;
  private static final long RAM_BYTES = 1 << 20;
  private static final long QUEUE_BYTES = 0x4000;

  final TestDevice device;
  final InlineOwner owner = new InlineOwner();
  final MmioDevice mmio;

  /** All levels of the line. */
  final List<Boolean> levels = new ArrayList<>();

  private final boolean legacy;
  private final MemorySegment ram = Arena.ofAuto().allocate(RAM_BYTES, PAGE);
  private final int[] available;
  private long ignoredBefore;

  MmioRig(MmioOptions options) {
    this(options, new TestDevice(TYPE, 2));
  }

  MmioRig(MmioOptions options, TestDevice device) {
    this.device = device;
    this.legacy = options.isLegacy();
    this.available = new int[device.queueCount()];
    mmio = new MmioDevice(device, queue -> owner, options, levels::add);
    mmio.setMemory(memory());
  }

  GuestMemory memory() {
    return GuestMemory.of(List.of(new MemoryRegion(RAM, RAM_BYTES, ram.address())));
  }

  /** Whether the line is asserted. */
  boolean line() {
    return !levels.isEmpty() && levels.getLast();
  }

  @Override
  public void close() {
    mmio.close();
  }

  long get(int register) {
    return mmio.read(register, 4);
  }

  void set(int register, long value) {
    mmio.write(register, 4, value);
  }

  long config(int offset, int width) {
    return mmio.read(0x100 + offset, width);
  }

  void setConfig(int offset, int width, long value) {
    mmio.write(0x100 + offset, width, value);
  }

  // --- a driver ----------------------------------------------------------------------------

  FeatureBits offered() {
    long[] words = new long[4];
    for (int word = 0; word < 4; word++) {
      set(0x14, word);
      words[word] = get(0x10);
    }
    return new FeatureBits(words[0] | words[1] << 32, words[2] | words[3] << 32);
  }

  void accept(FeatureBits features) {
    for (int word = 3; word >= 0; word--) { // from the end, as Linux does
      set(0x24, word);
      long half = word < 2 ? features.low() : features.high();
      set(0x20, half >>> 32 * (word % 2) & 0xffff_ffffL);
    }
  }

  /** Up to FEATURES_OK: all but the packed ring, and a notification for each buffer. */
  void negotiate() {
    set(0x70, 1);
    set(0x70, 3);
    accept(
        offered()
            .without(ReservedFeatures.VIRTIO_F_RING_PACKED)
            .without(ReservedFeatures.VIRTIO_F_EVENT_IDX));
    if (!legacy) {
      set(0x70, 0xb);
    }
  }

  long descriptors(int queue) {
    return RAM + queue * QUEUE_BYTES;
  }

  private long driverArea(int queue) {
    return descriptors(queue) + SplitRing.descSize(TestDevice.MAX_SIZE);
  }

  private long deviceArea(int queue) {
    return descriptors(queue) + SplitRing.legacyUsedOffset(TestDevice.MAX_SIZE, PAGE);
  }

  /** Places a queue, and says how large it is. */
  void configure(int queue) {
    set(0x30, queue);
    set(0x38, TestDevice.MAX_SIZE);
    if (legacy) {
      set(0x28, PAGE);
      set(0x3c, PAGE);
      return;
    }
    address(0x80, descriptors(queue));
    address(0x90, driverArea(queue));
    address(0xa0, deviceArea(queue));
  }

  void address(int register, long value) {
    set(register, value & 0xffff_ffffL);
    set(register + 4, value >>> 32);
  }

  void enable(int queue) {
    configure(queue);
    if (legacy) {
      set(0x40, descriptors(queue) / PAGE);
    } else {
      set(0x44, 1);
    }
  }

  /** Live, with all queues. */
  void start() {
    negotiate();
    for (int i = 0; i < device.queueCount(); i++) {
      enable(i);
    }
    set(0x70, legacy ? 7 : 0xf);
  }

  /** Makes one buffer available, without a notification. */
  void add(int queue) {
    long at = descriptors(queue) - RAM;
    ram.set(ValueLayout.JAVA_LONG, at, RAM + RAM_BYTES - 64);
    ram.set(ValueLayout.JAVA_INT, at + 8, 64);
    ram.set(ValueLayout.JAVA_INT, at + 12, 2);
    available[queue]++;
    ram.set(ValueLayout.JAVA_SHORT, driverArea(queue) - RAM + 2, (short) available[queue]);
  }

  /** One buffer there and back. */
  void transfer(int queue) {
    add(queue);
    set(0x50, queue);
    owner.runUntilIdle();
  }

  /** How many buffers the device has used. */
  int used(int queue) {
    return ram.get(ValueLayout.JAVA_SHORT, deviceArea(queue) - RAM + 2) & 0xffff;
  }

  /** A ring without history. */
  void clear(int queue) {
    ram.asSlice(descriptors(queue) - RAM, QUEUE_BYTES).fill((byte) 0);
    available[queue] = 0;
  }

  /** What the device has counted since this was last asked. */
  long ignored() {
    long now =
        mmio.counters().ignoredReads()
            + mmio.counters().ignoredWrites()
            + mmio.counters().ignoredNotifications();
    long since = now - ignoredBefore;
    ignoredBefore = now;
    return since;
  }
}
