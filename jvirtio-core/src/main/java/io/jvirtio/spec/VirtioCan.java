// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.spec;

import java.util.List;
import java.util.Map;

/** Constants and structures of the CAN device (virtio 1.4, Device Types / CAN Device). */
public final class VirtioCan {
  public static final int VIRTIO_CAN_F_CAN_CLASSIC = 0;
  public static final int VIRTIO_CAN_F_CAN_FD = 1;
  public static final int VIRTIO_CAN_F_RTR_FRAMES = 2;
  public static final int VIRTIO_CAN_F_LATE_TX_ACK = 3;

  /** In status: the controller has stopped after a bus off condition. */
  public static final int VIRTIO_CAN_S_CTRL_BUSOFF = 1;

  /** Device configuration layout. */
  public static final Struct CONFIG = Struct.named("virtio_can_config").le16("status").size(2);

  private static final Map<Integer, String> FEATURE_NAMES =
      Map.ofEntries(
          Map.entry(VIRTIO_CAN_F_CAN_CLASSIC, "VIRTIO_CAN_F_CAN_CLASSIC"),
          Map.entry(VIRTIO_CAN_F_CAN_FD, "VIRTIO_CAN_F_CAN_FD"),
          Map.entry(VIRTIO_CAN_F_RTR_FRAMES, "VIRTIO_CAN_F_RTR_FRAMES"),
          Map.entry(VIRTIO_CAN_F_LATE_TX_ACK, "VIRTIO_CAN_F_LATE_TX_ACK"));

  /** Which offered feature needs which other (Feature bits / Feature bit requirements). */
  public static final List<FeatureRequirement> REQUIREMENTS =
      List.of(FeatureRequirement.of(VIRTIO_CAN_F_RTR_FRAMES, VIRTIO_CAN_F_CAN_CLASSIC));

  private VirtioCan() {}

  /** The specification's name of a feature bit of this device type, or null. */
  public static String featureName(int bit) {
    return FEATURE_NAMES.get(bit);
  }
}
