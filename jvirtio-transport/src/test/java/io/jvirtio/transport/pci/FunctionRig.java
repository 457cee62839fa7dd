// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.pci;

import io.jvirtio.device.InlineOwner;
import io.jvirtio.device.QueueOwner;
import io.jvirtio.memory.GuestMemory;
import io.jvirtio.memory.MemoryRegion;
import io.jvirtio.spec.DeviceStatus;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.spec.SplitRing;
import io.jvirtio.transport.RegisterWindow;
import io.jvirtio.transport.TestDevice;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;

/** A function, and a driver of it that writes registers by hand. */
final class FunctionRig implements PciInterrupts, AutoCloseable {
  /** What a vector has sent. */
  record Message(int vector, long address, int data) {}

  /** A capability of the virtio structures. */
  record Structure(int at, int bar, int id, long offset, long length) {}

  static final long RAM = 0x1_0000_0000L;
  static final long LOW_RAM = 0x10_0000;
  private static final long RAM_BYTES = 1 << 20;
  private static final long QUEUE_BYTES = 0x4000;

  static final int COMMON = 1;
  static final int NOTIFY = 2;
  static final int ISR = 3;
  static final int DEVICE = 4;
  static final int PCI = 5;
  static final int SHARED = 8;
  static final int NO_VECTOR = 0xffff;
  static final int MASTER = 0x6;

  final TestDevice device;
  final InlineOwner owner = new InlineOwner();
  final PciFunction function;
  final List<Message> messages = new ArrayList<>();
  boolean pin;
  private final MemorySegment ram = Arena.ofAuto().allocate(RAM_BYTES, 4096);
  private final List<Integer> available = new ArrayList<>();

  FunctionRig(PciOptions options) {
    this(options, new TestDevice(2, 2));
  }

  FunctionRig(PciOptions options, TestDevice device) {
    this(options, device, null);
  }

  /** With another owner for all queues. */
  FunctionRig(PciOptions options, QueueOwner other) {
    this(options, new TestDevice(2, 2), other);
  }

  private FunctionRig(PciOptions options, TestDevice device, QueueOwner other) {
    this.device = device;
    QueueOwner every = other == null ? owner : other;
    function = new PciFunction(device, queue -> every, options, this);
    function.setMemory(memory());
    for (int i = 0; i < device.queueCount(); i++) {
      available.add(0);
    }
  }

  /** The same memory at two places: legacy drivers cannot address beyond 16 TiB, others can. */
  GuestMemory memory() {
    return GuestMemory.of(
        List.of(
            new MemoryRegion(RAM, RAM_BYTES, ram.address()),
            new MemoryRegion(LOW_RAM, RAM_BYTES, ram.address())));
  }

  static PciOptions options(PciProfile profile) {
    return PciOptions.defaults().withProfile(profile);
  }

  static PciOptions with(int... ringFeatures) {
    FeatureBits more = FeatureBits.of(ringFeatures);
    return PciOptions.defaults().withRingFeatures(PciOptions.defaults().ringFeatures().or(more));
  }

  @Override
  public void intx(boolean asserted) {
    pin = asserted;
  }

  @Override
  public void msix(int vector, long address, int data) {
    messages.add(new Message(vector, address, data));
  }

  @Override
  public void close() {
    function.close();
  }

  // --- registers ---------------------------------------------------------------------------

  private static long read(RegisterWindow window, long offset, int width) {
    try {
      return window.read(offset, width);
    } catch (IOException e) {
      throw new AssertionError(e);
    }
  }

  private static void write(RegisterWindow window, long offset, int width, long value) {
    try {
      window.write(offset, width, value);
    } catch (IOException e) {
      throw new AssertionError(e);
    }
  }

  long config(int offset, int width) {
    return read(function.config(), offset, width);
  }

  void setConfig(int offset, int width, long value) {
    write(function.config(), offset, width, value);
  }

  long bar(int index, long offset, int width) {
    return read(function.bars().get(index).window(), offset, width);
  }

  void setBar(int index, long offset, int width, long value) {
    write(function.bars().get(index).window(), offset, width, value);
  }

  /** Where capabilities with this id are, in the order of the list. */
  List<Integer> capabilities(int id) {
    List<Integer> found = new ArrayList<>();
    for (int at = (int) config(0x34, 1); at != 0; at = (int) config(at + 1, 1)) {
      if (config(at, 1) == id) {
        found.add(at);
      }
    }
    return found;
  }

  /** The structures of a type. */
  List<Structure> structures(int type) {
    return capabilities(9).stream()
        .filter(at -> config(at + 3, 1) == type)
        .map(
            at ->
                new Structure(
                    at,
                    (int) config(at + 4, 1),
                    (int) config(at + 5, 1),
                    config(at + 8, 4),
                    config(at + 12, 4)))
        .toList();
  }

  Structure structure(int type) {
    return structures(type).getFirst();
  }

  int msix() {
    return capabilities(0x11).getFirst();
  }

  long get(int type, long offset, int width) {
    Structure s = structure(type);
    return bar(s.bar(), s.offset() + offset, width);
  }

  void set(int type, long offset, int width, long value) {
    Structure s = structure(type);
    setBar(s.bar(), s.offset() + offset, width, value);
  }

  long common(int offset, int width) {
    return get(COMMON, offset, width);
  }

  void setCommon(int offset, int width, long value) {
    set(COMMON, offset, width, value);
  }

  /** The vector of a table that is not masked sends this. */
  void vector(int vector, long address, int data) {
    setBar(1, 16L * vector, 4, address);
    setBar(1, 16L * vector + 4, 4, address >>> 32);
    setBar(1, 16L * vector + 8, 4, data);
    setBar(1, 16L * vector + 12, 4, 0);
  }

  void enableMsix() {
    setConfig(msix() + 2, 2, 0x8000);
  }

  // --- a driver ----------------------------------------------------------------------------

  void accept(FeatureBits features) {
    for (int word = 0; word < 4; word++) {
      setCommon(0x08, 4, word);
      long half = word < 2 ? features.low() : features.high();
      setCommon(0x0c, 4, half >>> 32 * (word % 2) & 0xffff_ffffL);
    }
  }

  FeatureBits offered() {
    long[] words = new long[4];
    for (int word = 0; word < 4; word++) {
      setCommon(0x00, 4, word);
      words[word] = common(0x04, 4);
    }
    return new FeatureBits(words[0] | words[1] << 32, words[2] | words[3] << 32);
  }

  /** Up to FEATURES_OK: all but the packed ring. */
  void negotiate() {
    setConfig(4, 2, MASTER);
    setCommon(0x14, 1, DeviceStatus.ACKNOWLEDGE | DeviceStatus.DRIVER);
    accept(
        offered()
            .without(ReservedFeatures.VIRTIO_F_RING_PACKED)
            .without(ReservedFeatures.VIRTIO_F_EVENT_IDX));
    setCommon(0x14, 1, 0xb);
  }

  long descriptors(int queue) {
    return RAM + queue * QUEUE_BYTES;
  }

  private long driverArea(int queue) {
    return descriptors(queue) + SplitRing.descSize(TestDevice.MAX_SIZE);
  }

  private long deviceArea(int queue) {
    return descriptors(queue) + SplitRing.legacyUsedOffset(TestDevice.MAX_SIZE, 4096);
  }

  void enable(int queue) {
    setCommon(0x16, 2, queue);
    address(0x20, descriptors(queue));
    address(0x28, driverArea(queue));
    address(0x30, deviceArea(queue));
    setCommon(0x1c, 2, 1);
  }

  private void address(int offset, long value) {
    setCommon(offset, 4, value & 0xffff_ffffL);
    setCommon(offset + 4, 4, value >>> 32);
  }

  /** Live, with all queues. */
  void start() {
    negotiate();
    for (int i = 0; i < device.queueCount(); i++) {
      enable(i);
    }
    setCommon(0x14, 1, 0xf);
  }

  /** Makes one buffer available, without a notification. */
  void add(int queue) {
    long at = descriptors(queue) - RAM;
    ram.set(ValueLayout.JAVA_LONG, at, RAM + RAM_BYTES - 64);
    ram.set(ValueLayout.JAVA_INT, at + 8, 64);
    ram.set(ValueLayout.JAVA_INT, at + 12, 2);
    int index = available.get(queue) + 1;
    available.set(queue, index);
    long avail = driverArea(queue) - RAM;
    ram.set(ValueLayout.JAVA_SHORT, avail + 2, (short) index);
  }

  /** Notifies, and lets the device work. */
  void kick(int queue) {
    set(NOTIFY, 4L * queue, 2, queue);
    owner.runUntilIdle();
  }

  /** One buffer there and back. */
  void transfer(int queue) {
    add(queue);
    kick(queue);
  }

  /** How many buffers the device has used. */
  int used(int queue) {
    return ram.get(ValueLayout.JAVA_SHORT, deviceArea(queue) - RAM + 2) & 0xffff;
  }

  /** A ring without history. */
  void clear(int queue) {
    ram.asSlice(descriptors(queue) - RAM, QUEUE_BYTES).fill((byte) 0);
    available.set(queue, 0);
  }

  /** What the function has counted since this was last asked. */
  long ignored() {
    long now =
        function.counters().ignoredReads()
            + function.counters().ignoredWrites()
            + function.counters().ignoredNotifications();
    long since = now - ignoredBefore;
    ignoredBefore = now;
    return since;
  }

  private long ignoredBefore;
}
