// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import io.jvirtio.queue.QueueLayout;
import io.jvirtio.spec.SplitRing;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;

/**
 * The driver side of a split virtqueue for tests (virtio 1.4, Split Virtqueues).
 *
 * <p>{@link #chain}, {@link #publish} and {@link #poll} keep every rule. {@link #ring} breaks any:
 * it writes each field of the shared memory as it is told. The driver keeps its own copy of what is
 * in flight and believes nothing that it reads back: a used entry that matches no buffer is an
 * {@link IllegalStateException}.
 *
 * <p>Not thread-safe; the device may run on another thread.
 */
public final class ScriptedDriver {
  /**
   * A used buffer.
   *
   * @param chain what was made available
   * @param length bytes that the device says it has written, 0 to 2^32 - 1
   */
  public record Used(TestChain chain, long length) {
    /** What the device has written. */
    public byte[] bytes() {
      return chain.writtenBytes(Math.toIntExact(length));
    }
  }

  private final TestMemory memory;
  private final RawRing ring;
  private final ByteOrder order;
  private final boolean eventIdx;
  private final TestChain[] inFlight;
  private final BitSet free = new BitSet();
  private int nextAvail;
  private int publishedAvail;
  private int nextUsed;

  /**
   * A driver of a queue that is at its start.
   *
   * @param layout where the queue is; {@link RawRing#allocate} makes one
   * @param order little-endian, except in a legacy session
   * @param eventIdx whether VIRTIO_F_EVENT_IDX was negotiated
   */
  public ScriptedDriver(TestMemory memory, QueueLayout layout, ByteOrder order, boolean eventIdx) {
    this.memory = memory;
    this.ring = new RawRing(memory, layout, order);
    this.order = order;
    this.eventIdx = eventIdx;
    this.inFlight = new TestChain[layout.size()];
    this.free.set(0, layout.size());
    this.nextAvail = layout.start();
    this.publishedAvail = layout.start();
    this.nextUsed = layout.start();
  }

  /** The memory that its buffers are in. */
  public TestMemory memory() {
    return memory;
  }

  /** The naked ring. */
  public RawRing ring() {
    return ring;
  }

  /** Where the queue is. */
  public QueueLayout layout() {
    return ring.layout();
  }

  /** The queue size. */
  public int size() {
    return ring.layout().size();
  }

  /** The byte order of the session. */
  public ByteOrder order() {
    return order;
  }

  /** Descriptors that no buffer in flight uses. */
  public int freeDescriptors() {
    return free.cardinality();
  }

  /** Starts a buffer. */
  public ChainBuilder chain() {
    return new ChainBuilder(this);
  }

  int[] takeFree(int count) {
    if (count > free.cardinality()) {
      throw new IllegalStateException(
          count + " descriptors wanted, " + free.cardinality() + " are free");
    }
    return free.stream().limit(count).toArray();
  }

  void added(TestChain chain) {
    if (chain.head() >= 0 && chain.head() < inFlight.length) {
      inFlight[chain.head()] = chain;
    }
    chain.descriptors().forEach(free::clear);
    addHead(chain.head());
  }

  /** Writes the next entry of the available ring, whatever it refers to. */
  public void addHead(int head) {
    ring.availEntry(nextAvail, head);
    nextAvail = (nextAvail + 1) & 0xffff;
  }

  /** The free-running idx at which the next buffer is added. */
  public int nextAvail() {
    return nextAvail;
  }

  /** The free-running idx of the next used entry that {@link #poll} reads. */
  public int nextUsed() {
    return nextUsed;
  }

  /**
   * Makes available what was added, in one batch.
   *
   * @return whether the device wants an available buffer notification (Available Buffer
   *     Notification Suppression)
   */
  public boolean publish() {
    int before = publishedAvail;
    publishedAvail = nextAvail;
    ring.availIdx(nextAvail);
    VarHandle.fullFence();
    return eventIdx
        ? SplitRing.needEvent(ring.availEvent(), nextAvail, before)
        : (ring.usedFlags() & SplitRing.VIRTQ_USED_F_NO_NOTIFY) == 0;
  }

  /** How many used buffers wait for {@link #poll}. */
  public int pending() {
    return (ring.usedIdx() - nextUsed) & 0xffff;
  }

  /**
   * Takes the next used buffer and frees its descriptors.
   *
   * @return null when there is none
   * @throws IllegalStateException when the device names a buffer that is not in flight, or says it
   *     has written more than the buffer holds
   */
  public Used poll() {
    if (pending() == 0) {
      return null;
    }
    long id = ring.usedId(nextUsed);
    long length = ring.usedLen(nextUsed);
    TestChain chain = id < inFlight.length ? inFlight[(int) id] : null;
    if (chain == null) {
      throw new IllegalStateException("device used buffer " + id + ", which is not in flight");
    }
    if (length > chain.writableLength()) {
      throw new IllegalStateException(
          "device wrote " + length + " bytes into a buffer of " + chain.writableLength());
    }
    inFlight[(int) id] = null;
    chain.descriptors().forEach(free::set);
    nextUsed = (nextUsed + 1) & 0xffff;
    return new Used(chain, length);
  }

  /** Takes all used buffers that are there. */
  public List<Used> pollAll() {
    List<Used> all = new ArrayList<>();
    for (Used used = poll(); used != null; used = poll()) {
      all.add(used);
    }
    return all;
  }

  /**
   * Asks for used buffer notifications from the next used buffer on, as a driver does that is about
   * to sleep.
   *
   * @return false when a buffer was used in between
   */
  public boolean enableNotifications() {
    if (eventIdx) {
      ring.usedEvent(nextUsed);
    } else {
      ring.availFlags(0);
    }
    VarHandle.fullFence();
    return pending() == 0;
  }

  /** Says that used buffer notifications are not needed. */
  public void disableNotifications() {
    if (eventIdx) {
      // Half a turn ahead: as far from the next used buffer as an index can be.
      ring.usedEvent((nextUsed + 0x8000) & 0xffff);
    } else {
      ring.availFlags(SplitRing.VIRTQ_AVAIL_F_NO_INTERRUPT);
    }
  }
}
