// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.queue;

import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.PackedRing;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.spec.SplitRing;

/**
 * How a driver's queue is made.
 *
 * @param index the queue's number
 * @param name for people
 * @param size the queue size, in descriptors: a power of two for a split queue
 * @param maxElements the most elements that a buffer will have; indirect tables get so many
 *     descriptors
 * @param features what was negotiated
 * @param legacyAlign 0 for three parts that lie apart (modern); else the alignment of the used ring
 *     in the one contiguous piece of the legacy interface, a power of two and at least 4
 * @param bigEndian whether the session is a legacy one of a big-endian driver
 */
public record DriverQueueOptions(
    int index,
    String name,
    int size,
    int maxElements,
    FeatureBits features,
    int legacyAlign,
    boolean bigEndian) {

  /** Checks the numbers. */
  public DriverQueueOptions {
    boolean packed = features.has(ReservedFeatures.VIRTIO_F_RING_PACKED);
    if (packed ? !PackedRing.isValidQueueSize(size) : !SplitRing.isValidQueueSize(size)) {
      throw new IllegalArgumentException("queue size " + size);
    }
    if (maxElements <= 0) {
      throw new IllegalArgumentException("buffers of " + maxElements + " elements");
    }
    // Less would put the used ring where its own fields are not aligned.
    if (legacyAlign != 0
        && (Integer.bitCount(legacyAlign) != 1 || legacyAlign < SplitRing.USED_ALIGN)) {
      throw new IllegalArgumentException("alignment " + legacyAlign);
    }
  }
}
