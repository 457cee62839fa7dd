// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import io.jvirtio.queue.QueueLayout;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The driver side of a virtqueue for tests, split or packed (virtio 1.4, Split Virtqueues and
 * Packed Virtqueues).
 *
 * <p>{@link #chain}, {@link #publish} and {@link #poll} keep every rule. {@link #ring} and {@link
 * #packedRing} break any: they write each field of the shared memory as they are told. The driver
 * keeps its own copy of what is in flight and believes nothing that it reads back: a used element
 * that matches no buffer is an {@link IllegalStateException}.
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
  private final QueueLayout layout;
  private final ByteOrder order;
  private final boolean inOrder;
  private final DriverHalf half;

  /** By id, in the order in which they were made available. */
  private final Map<Integer, TestChain> inFlight;

  /** In order: buffers that the last used element stands for and that were not polled yet. */
  private int batch;

  private long batchLength;

  /**
   * A driver of a split queue that is at its start.
   *
   * @param layout where the queue is; {@link RawRing#allocate} makes one
   * @param order little-endian, except in a legacy session
   * @param eventIdx whether VIRTIO_F_EVENT_IDX was negotiated
   */
  public ScriptedDriver(TestMemory memory, QueueLayout layout, ByteOrder order, boolean eventIdx) {
    this(
        memory,
        layout,
        FeatureBits.NONE.withIf(eventIdx, ReservedFeatures.VIRTIO_F_EVENT_IDX),
        order);
  }

  /**
   * A driver of a queue that is at its start, in the format that was negotiated.
   *
   * @param layout where the queue is; {@link RawRing#allocate} or {@link PackedRawRing#allocate}
   *     makes one
   * @param features what was negotiated
   * @param order little-endian, except in a legacy session
   */
  public ScriptedDriver(
      TestMemory memory, QueueLayout layout, FeatureBits features, ByteOrder order) {
    this.memory = memory;
    this.layout = layout;
    this.order = order;
    this.inOrder = features.has(ReservedFeatures.VIRTIO_F_IN_ORDER);
    this.inFlight = inOrder ? new LinkedHashMap<>() : new HashMap<>();
    boolean eventIdx = features.has(ReservedFeatures.VIRTIO_F_EVENT_IDX);
    this.half =
        features.has(ReservedFeatures.VIRTIO_F_RING_PACKED)
            ? new PackedDriverHalf(new PackedRawRing(memory, layout), eventIdx)
            : new SplitDriverHalf(new RawRing(memory, layout, order), eventIdx, inOrder);
  }

  /** The memory that its buffers are in. */
  public TestMemory memory() {
    return memory;
  }

  private SplitDriverHalf split() {
    if (half instanceof SplitDriverHalf split) {
      return split;
    }
    throw new IllegalStateException("the queue is packed");
  }

  private PackedDriverHalf packed() {
    if (half instanceof PackedDriverHalf packed) {
      return packed;
    }
    throw new IllegalStateException("the queue is split");
  }

  DriverHalf half() {
    return half;
  }

  /** Whether the queue is packed. */
  public boolean isPacked() {
    return half instanceof PackedDriverHalf;
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

  /** The queue size. */
  public int size() {
    return layout.size();
  }

  /** The byte order of the session. */
  public ByteOrder order() {
    return order;
  }

  /** Descriptors that no buffer in flight uses. */
  public int freeDescriptors() {
    return half.freeDescriptors();
  }

  /** Starts a buffer. */
  public ChainBuilder chain() {
    return new ChainBuilder(this);
  }

  void added(TestChain chain) {
    inFlight.put(chain.head(), chain);
    half.add(chain);
  }

  /** Split: writes the next entry of the available ring, whatever it refers to. */
  public void addHead(int head) {
    split().addHead(head);
  }

  /**
   * Split: the free-running idx at which the next buffer is added. Packed: the position of the next
   * descriptor, 0 to queue size - 1.
   */
  public int nextAvail() {
    return half instanceof PackedDriverHalf packed ? packed.nextAvail : split().nextAvail;
  }

  /** Packed: the Driver Ring Wrap Counter. */
  public boolean availWrap() {
    return packed().availWrap();
  }

  /**
   * Split: the free-running idx of the next used entry that {@link #poll} reads. Packed: the
   * position of the next used descriptor.
   */
  public int nextUsed() {
    return half instanceof PackedDriverHalf packed ? packed.nextUsed : split().nextUsed;
  }

  /** Packed: the wrap counter of the next used descriptor. */
  public boolean usedWrap() {
    return packed().usedWrap;
  }

  /**
   * Makes available what was added, in one batch.
   *
   * @return whether the device wants an available buffer notification (Available Buffer
   *     Notification Suppression)
   */
  public boolean publish() {
    return half.publish();
  }

  /** How many used buffers wait for {@link #poll}. */
  public int pending() {
    return switch (half) {
      case SplitDriverHalf split -> batch + split.waiting();
      case PackedDriverHalf packed -> batch + pending(packed);
    };
  }

  private int pending(PackedDriverHalf packed) {
    int position = packed.nextUsed;
    boolean wrap = packed.usedWrap;
    List<TestChain> left = new ArrayList<>(inFlight.values());
    left = left.subList(batch, left.size());
    int count = 0;
    while (!left.isEmpty() && packed.isUsed(position, wrap)) {
      int at = indexOf(left, packed.entry(position).id());
      List<TestChain> taken = left.subList(inOrder ? 0 : Math.max(at, 0), Math.max(at, 0) + 1);
      count += taken.size();
      for (TestChain chain : taken) {
        position += chain.descriptors().size();
      }
      taken.clear();
      if (position >= size()) {
        position -= size();
        wrap = !wrap;
      }
    }
    return count;
  }

  private static int indexOf(List<TestChain> chains, long id) {
    for (int i = 0; i < chains.size(); i++) {
      if (chains.get(i).head() == id) {
        return i;
      }
    }
    return -1;
  }

  /**
   * Takes the next used buffer and frees its descriptors. In order, one used element stands for
   * several buffers, of which all but the last count as written completely.
   *
   * @return null when there is none
   * @throws IllegalStateException when the device names a buffer that is not in flight, or says it
   *     has written more than the buffer holds
   */
  public Used poll() {
    if (batch > 0) {
      return pollBatch();
    }
    DriverHalf.Entry entry = half.next();
    if (entry == null) {
      return null;
    }
    TestChain chain = entry.id() < 1 << 16 ? inFlight.get((int) entry.id()) : null;
    if (chain == null) {
      throw new IllegalStateException(
          "device used buffer " + entry.id() + ", which is not in flight");
    }
    if (entry.length() > chain.writableLength()) {
      throw new IllegalStateException(
          "device wrote " + entry.length() + " bytes into a buffer of " + chain.writableLength());
    }
    if (inOrder) {
      openBatch(chain, entry.length());
      return pollBatch();
    }
    half.advance(1, chain.descriptors().size());
    return take(chain, entry.length());
  }

  /** The element stands for all buffers up to this one. */
  private void openBatch(TestChain last, long length) {
    batchLength = length;
    int descriptors = 0;
    for (TestChain chain : inFlight.values()) {
      batch++;
      descriptors += chain.descriptors().size();
      if (chain == last) {
        break;
      }
    }
    half.advance(batch, descriptors);
  }

  private Used pollBatch() {
    TestChain oldest = inFlight.values().iterator().next();
    batch--;
    return take(oldest, batch == 0 ? batchLength : oldest.writableLength());
  }

  private Used take(TestChain chain, long length) {
    inFlight.remove(chain.head());
    half.free(chain);
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
    return half.enableNotifications();
  }

  /** Says that used buffer notifications are not needed. */
  public void disableNotifications() {
    half.disableNotifications();
  }
}
