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

  /** Of the features that a side implements, those that are allowed; others stay. */
  public FeatureBits of(FeatureBits implemented) {
    FeatureBits allowed = implemented;
    allowed = packed ? allowed : allowed.without(ReservedFeatures.VIRTIO_F_RING_PACKED);
    allowed = inOrder ? allowed : allowed.without(ReservedFeatures.VIRTIO_F_IN_ORDER);
    allowed = eventIndex ? allowed : allowed.without(ReservedFeatures.VIRTIO_F_EVENT_IDX);
    return indirect ? allowed : allowed.without(ReservedFeatures.VIRTIO_F_INDIRECT_DESC);
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
