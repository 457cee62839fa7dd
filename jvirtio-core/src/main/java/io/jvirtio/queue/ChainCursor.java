// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.queue;

import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;

/**
 * A position in one part of a chain. Every access is bounded by what the part holds; an access that
 * goes beyond is a {@link PeerFault}, because the driver gave too small a buffer. Owner thread
 * only.
 */
abstract sealed class ChainCursor permits ChainReader, ChainWriter {
  final DescriptorChain chain;
  private int segment;
  private int last;
  private long segmentAddress;
  private int segmentLeft;
  private long remaining;
  private long position;

  ChainCursor(DescriptorChain chain) {
    this.chain = chain;
  }

  final void place(int from, int to, long total) {
    segment = from;
    last = to;
    remaining = total;
    position = 0;
    load();
  }

  /** The same for a chain that was just read, whose segments are at hand. */
  final void start(long[] segments, int from, int to, long total) {
    segment = from;
    last = to;
    remaining = total;
    position = 0;
    if (from < to) {
      segmentAddress = segments[2 * from];
      segmentLeft = (int) segments[2 * from + 1];
    } else {
      segmentLeft = 0;
    }
  }

  private void load() {
    if (segment < last) {
      segmentAddress = chain.addressUnchecked(segment);
      segmentLeft = chain.lengthUnchecked(segment);
    } else {
      segmentLeft = 0;
    }
  }

  /** Bytes left in this part. */
  public final long remaining() {
    return remaining;
  }

  /** Bytes behind the cursor. */
  public final long position() {
    return position;
  }

  /**
   * Moves on without touching memory.
   *
   * @throws PeerFault when fewer than {@code bytes} are left
   */
  public final void skip(long bytes) throws PeerFault {
    need(bytes);
    long left = bytes;
    while (left > 0) {
      left -= advance((int) Math.min(left, segmentLeft));
    }
  }

  final void need(long bytes) throws PeerFault {
    if (bytes < 0 || bytes > remaining) {
      throw new PeerFault(FaultReason.BUFFER_TOO_SHORT, bytes);
    }
  }

  /** Bytes that can be reached at {@link #address} in one piece. */
  final int contiguous() {
    return segmentLeft;
  }

  final long address() {
    return segmentAddress;
  }

  final int advance(int bytes) {
    segmentAddress += bytes;
    segmentLeft -= bytes;
    remaining -= bytes;
    position += bytes;
    if (segmentLeft == 0 && remaining > 0) {
      segment++;
      load();
    }
    return bytes;
  }
}
