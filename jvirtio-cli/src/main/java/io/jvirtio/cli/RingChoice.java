// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli;

import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import java.util.List;

/**
 * Which features of the rings a user allows (virtio 1.4, Reserved Feature Bits). Immutable.
 *
 * @param packed VIRTIO_F_RING_PACKED
 * @param inOrder VIRTIO_F_IN_ORDER
 * @param eventIndex VIRTIO_F_EVENT_IDX
 * @param indirect VIRTIO_F_INDIRECT_DESC
 */
public record RingChoice(boolean packed, boolean inOrder, boolean eventIndex, boolean indirect) {
  private static final FeatureBits CHOSEN =
      FeatureBits.of(
          ReservedFeatures.VIRTIO_F_RING_PACKED,
          ReservedFeatures.VIRTIO_F_IN_ORDER,
          ReservedFeatures.VIRTIO_F_EVENT_IDX,
          ReservedFeatures.VIRTIO_F_INDIRECT_DESC);

  /** These four as chosen, and all others as a side has them. */
  public FeatureBits of(FeatureBits usual) {
    return usual
        .minus(CHOSEN)
        .withIf(packed, ReservedFeatures.VIRTIO_F_RING_PACKED)
        .withIf(inOrder, ReservedFeatures.VIRTIO_F_IN_ORDER)
        .withIf(eventIndex, ReservedFeatures.VIRTIO_F_EVENT_IDX)
        .withIf(indirect, ReservedFeatures.VIRTIO_F_INDIRECT_DESC);
  }

  /** The same as options of another command. */
  public List<String> options() {
    return List.of(
        "--packed=" + word(packed),
        "--in-order=" + word(inOrder),
        "--event-idx=" + word(eventIndex),
        "--indirect=" + word(indirect));
  }

  /** "on" or "off", as QEMU has them too. */
  public static String word(boolean on) {
    return on ? "on" : "off";
  }
}
