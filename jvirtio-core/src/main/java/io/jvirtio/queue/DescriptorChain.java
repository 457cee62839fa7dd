// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.queue;

import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.GuestMemory;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.raw.RawMemory;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/**
 * A validated snapshot of one descriptor chain: the buffer that the driver made available.
 *
 * <p>First the device-readable segments, then the device-writable ones. Nothing in it is read twice
 * from the descriptor table. Every byte lies in guest memory. A chain belongs to its queue, which
 * uses it again once it was pushed. Owner thread only, except that the scatter list may be read by
 * whoever does the I/O until the chain is pushed.
 */
public final class DescriptorChain {
  private static final int INITIAL_SEGMENTS = 8;
  private static final int KEPT_SEGMENTS = 256;

  /** A chain must not be longer (The Virtqueue Descriptor Table). */
  static final long MAX_BYTES = 1L << 32;

  private final ChainReader reader = new ChainReader(this);
  private final ChainWriter writer = new ChainWriter(this);
  private final boolean bigEndian;

  /** The address and the length of each segment in turn. */
  private long[] segments = new long[2 * INITIAL_SEGMENTS];

  private int head;
  private int count;
  private int readableCount;
  private long readableLength;
  private long writableLength;
  private boolean writableSeen;
  private boolean inFlight;
  private int descriptors = 1;
  private long finishedLength = -1;
  private Object attachment;

  DescriptorChain(boolean bigEndian) {
    this.bigEndian = bigEndian;
  }

  /** The index of the descriptor at the head (split), or the buffer id (packed). */
  public int head() {
    return head;
  }

  /** Reads the device-readable part from its start; the same object each time. */
  public ChainReader reader() {
    return reader;
  }

  /** Writes the device-writable part from its start; the same object each time. */
  public ChainWriter writer() {
    return writer;
  }

  /** How many segments there are; a descriptor that crosses a region's edge counts as several. */
  public int segmentCount() {
    return count;
  }

  /** How many of them, from the first, are device-readable; the rest are device-writable. */
  public int readableCount() {
    return readableCount;
  }

  /** Bytes of all device-readable segments. */
  public long readableLength() {
    return readableLength;
  }

  /** Bytes of all device-writable segments. */
  public long writableLength() {
    return writableLength;
  }

  /**
   * The absolute address of a segment, for system calls.
   *
   * @param segment 0 to {@link #segmentCount} - 1
   */
  public long segmentAddress(int segment) {
    return addressUnchecked(check(segment));
  }

  /** Bytes of a segment, 1 to 2^31 - 1. */
  public int segmentLength(int segment) {
    return lengthUnchecked(check(segment));
  }

  /** A segment as memory. Allocates; valid until the chain is pushed. */
  public MemorySegment segment(int segment) {
    MemorySegment memory = RawMemory.segment(segmentAddress(segment), segmentLength(segment));
    return segment < readableCount ? memory.asReadOnly() : memory;
  }

  /** What the device has attached to this chain object; it stays when the chain is used again. */
  public Object attachment() {
    return attachment;
  }

  /** Attaches an object of the device's, so that it need not allocate one for each request. */
  public void attach(Object object) {
    attachment = object;
  }

  private int check(int segment) {
    if (segment < 0 || segment >= count) {
      throw new IndexOutOfBoundsException("segment " + segment + " of " + count);
    }
    return segment;
  }

  boolean bigEndian() {
    return bigEndian;
  }

  /** Whether it was popped and neither pushed nor given up. */
  boolean isInFlight() {
    return inFlight;
  }

  void setInFlight(boolean flying) {
    inFlight = flying;
    if (flying) {
      finishedLength = -1;
    }
  }

  /** How many descriptors of the ring it takes. */
  int descriptors() {
    return descriptors;
  }

  /** A packed buffer is known only at its end: its id, and how many descriptors it takes. */
  void identify(int id, int descriptorCount) {
    head = id;
    descriptors = descriptorCount;
  }

  /** The device is done with it, and has written so much. */
  void finish(long written) {
    finishedLength = written;
  }

  boolean isFinished() {
    return finishedLength >= 0;
  }

  long finishedLength() {
    return finishedLength;
  }

  void begin(int newHead) {
    head = newHead;
    count = 0;
    readableCount = 0;
    readableLength = 0;
    writableLength = 0;
    writableSeen = false;
  }

  /** Adds one descriptor's buffer, split where it crosses a region's edge. */
  void add(GuestMemory memory, long guestAddress, long bytes, boolean writable, int hint)
      throws PeerFault {
    if (bytes == 0) {
      return;
    }
    GuestMemory.checkRange(guestAddress, bytes);
    if (readableLength + writableLength + bytes > MAX_BYTES) {
      throw new PeerFault(FaultReason.CHAIN_LENGTH_OVERFLOW, bytes);
    }
    long at = guestAddress;
    long left = bytes;
    int region = hint;
    while (left > 0) {
      region = memory.regionOf(at, region);
      // A segment is an int, so that it fits a system call: a larger one is split.
      int step = (int) Math.min(Math.min(left, memory.remaining(region, at)), 1 << 30);
      append(memory.hostAddress(region, at), step);
      at += step;
      left -= step;
    }
    if (writable) {
      writableLength += bytes;
    } else {
      readableLength += bytes;
      readableCount = count;
    }
  }

  private void append(long hostAddress, int bytes) {
    if (2 * count == segments.length) {
      segments = Arrays.copyOf(segments, 4 * count);
    }
    segments[2 * count] = hostAddress;
    segments[2 * count + 1] = bytes;
    count++;
  }

  /** Whether a device-writable descriptor was seen, be it one without bytes. */
  boolean hasWritable() {
    return writableSeen;
  }

  void markWritable() {
    writableSeen = true;
  }

  /** Room for the address and the length of each segment in turn, for {@link #set}. */
  long[] room() {
    return segments;
  }

  /** Makes it, in place of what it was, the chain whose segments were written to the room. */
  void set(int newHead, int segmentCount, int readableSegments, long readable, long writable) {
    head = newHead;
    count = segmentCount;
    readableCount = readableSegments;
    readableLength = readable;
    writableLength = writable;
  }

  void end() {
    reader.start(segments, 0, readableCount, readableLength);
    writer.start(segments, readableCount, count, writableLength);
  }

  /** Lets go of arrays that a single huge chain has grown. */
  void release() {
    if (segments.length > 2 * KEPT_SEGMENTS) {
      segments = new long[2 * INITIAL_SEGMENTS];
    }
  }

  long addressUnchecked(int segment) {
    return segments[2 * segment];
  }

  int lengthUnchecked(int segment) {
    return (int) segments[2 * segment + 1];
  }
}
