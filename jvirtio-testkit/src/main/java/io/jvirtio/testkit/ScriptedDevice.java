// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import static io.jvirtio.spec.SplitRing.DESC_SIZE;
import static io.jvirtio.spec.SplitRing.VIRTQ_DESC_F_INDIRECT;
import static io.jvirtio.spec.SplitRing.VIRTQ_DESC_F_NEXT;
import static io.jvirtio.spec.SplitRing.VIRTQ_DESC_F_WRITE;

import io.jvirtio.memory.DriverMemory;
import io.jvirtio.queue.QueueLayout;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.spec.SplitRing;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;

/**
 * The device side of a split virtqueue for tests of drivers (virtio 1.4, Split Virtqueues): does
 * what a test says, right or wrong.
 *
 * <p>{@link #take}, {@link #use} and the notification methods keep every rule, and check that the
 * driver does: one that breaks a rule is an {@link IllegalStateException}. {@link #put}, {@link
 * #publish(int)} and {@link #ring} break any rule.
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
  private final RawRing ring;
  private final boolean indirect;
  private final boolean eventIdx;

  /** By head: the descriptors of the table that a buffer in flight takes. */
  private final BitSet[] outstanding;

  private final BitSet busy = new BitSet();
  private int nextAvail;
  private int nextUsed;
  private int publishedUsed;

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
    this.ring = new RawRing(memory, layout, order);
    this.indirect = features.has(ReservedFeatures.VIRTIO_F_INDIRECT_DESC);
    this.eventIdx = features.has(ReservedFeatures.VIRTIO_F_EVENT_IDX);
    this.outstanding = new BitSet[layout.size()];
    this.nextAvail = layout.start();
    this.nextUsed = layout.start();
    this.publishedUsed = layout.start();
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

    /** The index of its first descriptor: its id in the used ring. */
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

  /** The naked ring. */
  public RawRing ring() {
    return ring;
  }

  /** Where the queue is. */
  public QueueLayout layout() {
    return ring.layout();
  }

  /** The memory that the driver shares with it. */
  public DriverMemory memory() {
    return memory;
  }

  /** The free-running idx of the next available entry that {@link #take} reads. */
  public int nextAvail() {
    return nextAvail;
  }

  /** The free-running idx at which the next used entry is put. */
  public int nextUsed() {
    return nextUsed;
  }

  /** How many buffers wait for {@link #take}. */
  public int available() {
    return (ring.availIdx() - nextAvail) & 0xffff;
  }

  /**
   * Takes the next available buffer.
   *
   * @return null when there is none
   * @throws IllegalStateException when the driver breaks a rule of the specification
   */
  public Buffer take() {
    int waiting = available();
    if (waiting == 0) {
      return null;
    }
    if (waiting > layout().size()) {
      throw new IllegalStateException(
          "available idx " + ring.availIdx() + " is " + waiting + " ahead");
    }
    int head = ring.availEntry(nextAvail);
    check(head < layout().size(), head, "is not below the queue size");
    check(outstanding[head] == null, head, "is in flight already");
    BitSet taken = new BitSet();
    List<Element> elements = new ArrayList<>();
    boolean table = walk(head, taken, elements);
    check(elements.size() <= layout().size(), head, "has more elements than the queue size");
    checkElements(head, elements);
    check(!taken.intersects(busy), head, "shares a descriptor with another buffer in flight");
    busy.or(taken);
    outstanding[head] = taken;
    nextAvail = (nextAvail + 1) & 0xffff;
    return new Buffer(head, table, elements);
  }

  /** Takes all buffers that are available. */
  public List<Buffer> takeAll() {
    List<Buffer> all = new ArrayList<>();
    for (Buffer buffer = take(); buffer != null; buffer = take()) {
      all.add(buffer);
    }
    return all;
  }

  /** Follows the chain in the descriptor table; says whether it led to an indirect table. */
  private boolean walk(int head, BitSet taken, List<Element> elements) {
    int at = head;
    while (true) {
      check(at < layout().size(), head, "has a next that is not below the queue size");
      check(!taken.get(at), head, "is a loop");
      taken.set(at);
      RawRing.Descriptor descriptor = ring.descriptor(at);
      boolean more = (descriptor.flags() & VIRTQ_DESC_F_NEXT) != 0;
      if ((descriptor.flags() & VIRTQ_DESC_F_INDIRECT) != 0) {
        check(indirect, head, "is indirect, which was not negotiated");
        check(!more, head, "is indirect and has a next");
        check(
            descriptor.len() > 0 && descriptor.len() % DESC_SIZE == 0,
            head,
            "has an indirect table of " + descriptor.len() + " bytes");
        walkTable(head, descriptor, elements);
        return true;
      }
      elements.add(element(descriptor));
      if (!more) {
        return false;
      }
      at = descriptor.next();
    }
  }

  private void walkTable(int head, RawRing.Descriptor descriptor, List<Element> elements) {
    MemorySegment table = RawRing.slice(memory, descriptor.addr(), descriptor.len());
    int entries = (int) (descriptor.len() / DESC_SIZE);
    int at = 0;
    for (int steps = 0; ; steps++) {
      check(at < entries, head, "has a next that is not in its indirect table");
      check(steps < entries, head, "is a loop in its indirect table");
      RawRing.Descriptor entry = ring.descriptor(table, (long) DESC_SIZE * at);
      check((entry.flags() & VIRTQ_DESC_F_INDIRECT) == 0, head, "is indirect in an indirect table");
      elements.add(element(entry));
      if ((entry.flags() & VIRTQ_DESC_F_NEXT) == 0) {
        return;
      }
      at = entry.next();
    }
  }

  private static Element element(RawRing.Descriptor descriptor) {
    return new Element(
        descriptor.addr(), descriptor.len(), (descriptor.flags() & VIRTQ_DESC_F_WRITE) != 0);
  }

  private void checkElements(int head, List<Element> elements) {
    boolean writable = false;
    long total = 0;
    for (Element element : elements) {
      check(element.writable() || !writable, head, "has a readable element after a writable one");
      writable = element.writable();
      total += element.length();
      RawRing.slice(memory, element.address(), element.length());
    }
    check(total <= 1L << 32, head, "is longer than 2^32 bytes");
  }

  private static void check(boolean kept, int head, String what) {
    if (!kept) {
      throw new IllegalStateException("available buffer " + head + " " + what);
    }
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
   * Writes the next used element, whatever it refers to. Not published yet.
   *
   * @param id any; the low 32 bits are stored
   * @param length any; the low 32 bits are stored
   */
  public void put(long id, long length) {
    if (id >= 0 && id < outstanding.length && outstanding[(int) id] != null) {
      busy.andNot(outstanding[(int) id]);
      outstanding[(int) id] = null;
    }
    ring.usedEntry(nextUsed, id, length);
    nextUsed = (nextUsed + 1) & 0xffff;
  }

  /**
   * Publishes all used elements put so far, in one batch.
   *
   * @return whether the driver wants a used buffer notification (Used Buffer Notification
   *     Suppression)
   */
  public boolean publish() {
    int before = publishedUsed;
    publishedUsed = nextUsed;
    ring.usedIdx(nextUsed);
    return wantsNotification(before);
  }

  /**
   * Writes any used idx, and goes on from there.
   *
   * @param idx the low 16 bits are stored
   */
  public void publish(int idx) {
    nextUsed = idx & 0xffff;
    publishedUsed = nextUsed;
    ring.usedIdx(idx);
  }

  private boolean wantsNotification(int before) {
    VarHandle.fullFence();
    return eventIdx
        ? SplitRing.needEvent(ring.usedEvent(), publishedUsed, before)
        : (ring.availFlags() & SplitRing.VIRTQ_AVAIL_F_NO_INTERRUPT) == 0;
  }

  /**
   * Asks for available buffer notifications from the next available buffer on, as a device does
   * that is about to sleep.
   *
   * @return false when a buffer became available in between
   */
  public boolean enableNotifications() {
    if (eventIdx) {
      ring.availEvent(nextAvail);
    } else {
      ring.usedFlags(0);
    }
    VarHandle.fullFence();
    return available() == 0;
  }

  /** Says that available buffer notifications are not needed. */
  public void disableNotifications() {
    if (eventIdx) {
      // Half a turn ahead: as far from the next available buffer as an index can be.
      ring.availEvent((nextAvail + 0x8000) & 0xffff);
    } else {
      ring.usedFlags(SplitRing.VIRTQ_USED_F_NO_NOTIFY);
    }
  }
}
