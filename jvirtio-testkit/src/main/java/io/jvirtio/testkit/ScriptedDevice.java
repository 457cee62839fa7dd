// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import io.jvirtio.memory.DriverMemory;
import io.jvirtio.queue.QueueLayout;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;

/**
 * The device side of a virtqueue for tests of drivers, split or packed (virtio 1.4, Split
 * Virtqueues and Packed Virtqueues): does what a test says, right or wrong.
 *
 * <p>{@link #take}, {@link #use} and the notification methods keep every rule, and check that the
 * driver does: one that breaks a rule is an {@link IllegalStateException}. {@link #put}, {@link
 * #publish(int)}, {@link #ring} and {@link #packedRing} break any rule.
 *
 * <pre>{@code
 * ScriptedDevice.Buffer buffer = device.take();
 * buffer.write(new byte[] {1, 2, 3});
 * boolean notify = device.use(buffer, 3);
 * device.put(99, 0);     // there is no such buffer
 * device.publish();
 * }</pre>
 *
 * <p>Not thread-safe; the driver may run on another thread.
 */
public final class ScriptedDevice {
  /**
   * One element of a buffer.
   *
   * @param address its device address
   * @param length bytes, 0 to 2^32 - 1
   * @param writable whether the device may write it, and nothing else
   */
  public record Element(long address, long length, boolean writable) {}

  private final DriverMemory memory;
  private final QueueLayout layout;
  private final DeviceHalf half;

  /**
   * The device of a queue that is at its start.
   *
   * @param memory that the driver shares with it
   * @param layout where the driver says that the queue is
   * @param features what was negotiated
   * @param order little-endian, except in a legacy session
   */
  public ScriptedDevice(
      DriverMemory memory, QueueLayout layout, FeatureBits features, ByteOrder order) {
    this.memory = memory;
    this.layout = layout;
    this.half =
        features.has(ReservedFeatures.VIRTIO_F_RING_PACKED)
            ? new PackedDeviceHalf(memory, new PackedRawRing(memory, layout), features)
            : new SplitDeviceHalf(memory, new RawRing(memory, layout, order), features);
  }

  /** A buffer that the driver made available. */
  public final class Buffer {
    private final int head;
    private final boolean indirectTable;
    private final List<Element> elements;

    private Buffer(int head, boolean indirectTable, List<Element> elements) {
      this.head = head;
      this.indirectTable = indirectTable;
      this.elements = List.copyOf(elements);
    }

    /** Its id in a used element: the index of its first descriptor, or the buffer id (packed). */
    public int head() {
      return head;
    }

    /** Whether it is described by an indirect table. */
    public boolean isIndirect() {
      return indirectTable;
    }

    /** Its elements, in the order of the driver. */
    public List<Element> elements() {
      return elements;
    }

    /** Bytes that the device may read. */
    public long readableLength() {
      return length(false);
    }

    /** Bytes that the device may write. */
    public long writableLength() {
      return length(true);
    }

    private long length(boolean writable) {
      return elements.stream()
          .filter(e -> e.writable() == writable)
          .mapToLong(Element::length)
          .sum();
    }

    /** What stands in the device-readable part now. */
    public byte[] read() {
      byte[] all = new byte[Math.toIntExact(readableLength())];
      int done = 0;
      for (Element element : elements) {
        if (!element.writable()) {
          MemorySegment from = RawRing.slice(memory, element.address(), element.length());
          MemorySegment.ofArray(all).asSlice(done, element.length()).copyFrom(from);
          done += (int) element.length();
        }
      }
      return all;
    }

    /**
     * Fills the device-writable part from its start.
     *
     * @throws IllegalArgumentException when it is too short
     */
    public void write(byte[] bytes) {
      int done = 0;
      for (Element element : elements) {
        int step = (int) Math.min(bytes.length - done, element.length());
        if (element.writable() && step > 0) {
          RawRing.slice(memory, element.address(), step)
              .copyFrom(MemorySegment.ofArray(bytes).asSlice(done, step));
          done += step;
        }
      }
      if (done < bytes.length) {
        throw new IllegalArgumentException("the buffer takes " + done + " of " + bytes.length);
      }
    }
  }

  private SplitDeviceHalf split() {
    if (half instanceof SplitDeviceHalf split) {
      return split;
    }
    throw new IllegalStateException("the queue is packed");
  }

  private PackedDeviceHalf packed() {
    if (half instanceof PackedDeviceHalf packed) {
      return packed;
    }
    throw new IllegalStateException("the queue is split");
  }

  /**
   * The naked ring of a split queue.
   *
   * @throws IllegalStateException when the queue is packed
   */
  public RawRing ring() {
    return split().ring();
  }

  /**
   * The naked ring of a packed queue.
   *
   * @throws IllegalStateException when the queue is split
   */
  public PackedRawRing packedRing() {
    return packed().ring();
  }

  /** Where the queue is. */
  public QueueLayout layout() {
    return layout;
  }

  /** The memory that the driver shares with it. */
  public DriverMemory memory() {
    return memory;
  }

  /**
   * Split: the free-running idx of the next available entry that {@link #take} reads. Packed: the
   * position of the next descriptor, 0 to queue size - 1.
   */
  public int nextAvail() {
    return half instanceof PackedDeviceHalf packed ? packed.nextAvail : split().nextAvail;
  }

  /**
   * Split: the free-running idx at which the next used entry is put. Packed: the position of the
   * next used descriptor, 0 to queue size - 1.
   */
  public int nextUsed() {
    return half instanceof PackedDeviceHalf packed ? packed.nextUsed : split().nextUsed;
  }

  /** Packed: the Device Ring Wrap Counter. */
  public boolean usedWrap() {
    return packed().usedWrap();
  }

  /** How many buffers wait for {@link #take}. */
  public int available() {
    return half.available();
  }

  /**
   * Takes the next available buffer.
   *
   * @return null when there is none
   * @throws IllegalStateException when the driver breaks a rule of the specification
   */
  public Buffer take() {
    DeviceHalf.Taken taken = half.take();
    if (taken == null) {
      return null;
    }
    DeviceHalf.check(
        taken.elements().size() <= layout.size(),
        taken.id(),
        "has more elements than the queue size");
    checkElements(taken.id(), taken.elements());
    return new Buffer(taken.id(), taken.table(), taken.elements());
  }

  /** Takes all buffers that are available. */
  public List<Buffer> takeAll() {
    List<Buffer> all = new ArrayList<>();
    for (Buffer buffer = take(); buffer != null; buffer = take()) {
      all.add(buffer);
    }
    return all;
  }

  private void checkElements(int id, List<Element> elements) {
    boolean writable = false;
    long total = 0;
    for (Element element : elements) {
      DeviceHalf.check(
          element.writable() || !writable, id, "has a readable element after a writable one");
      writable = element.writable();
      total += element.length();
      RawRing.slice(memory, element.address(), element.length());
    }
    DeviceHalf.check(total <= 1L << 32, id, "is longer than 2^32 bytes");
  }

  /**
   * Uses a buffer and publishes that, with everything put before.
   *
   * @param length bytes that the device says it has written
   * @return whether the driver wants a used buffer notification
   */
  public boolean use(Buffer buffer, long length) {
    put(buffer.head(), length);
    return publish();
  }

  /**
   * Writes the next used element, whatever it refers to. Not published yet. A packed ring goes on
   * behind the buffer's descriptors, or behind one when there is no such buffer.
   *
   * @param id any; the low 32 bits are stored, or 16 (packed)
   * @param length any; the low 32 bits are stored
   */
  public void put(long id, long length) {
    half.put(List.of(), id, length);
  }

  /**
   * Writes one used element for several buffers (In-order use of descriptors). Not published yet.
   *
   * @param batch the oldest ones in flight, in order
   * @param length bytes that the device says it has written into the last of them
   */
  public void putBatch(List<Buffer> batch, long length) {
    List<Integer> skipped = batch.subList(0, batch.size() - 1).stream().map(Buffer::head).toList();
    half.put(skipped, batch.getLast().head(), length);
  }

  /**
   * Publishes all used elements put so far, in one batch.
   *
   * @return whether the driver wants a used buffer notification (Used Buffer Notification
   *     Suppression)
   */
  public boolean publish() {
    return half.publish();
  }

  /**
   * Split: writes any used idx, and goes on from there.
   *
   * @param idx the low 16 bits are stored
   */
  public void publish(int idx) {
    split().publish(idx);
  }

  /**
   * Asks for available buffer notifications from the next available buffer on, as a device does
   * that is about to sleep.
   *
   * @return false when a buffer became available in between
   */
  public boolean enableNotifications() {
    return half.enableNotifications();
  }

  /** Says that available buffer notifications are not needed. */
  public void disableNotifications() {
    half.disableNotifications();
  }
}
