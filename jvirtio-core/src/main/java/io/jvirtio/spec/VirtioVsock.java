// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.spec;

import java.util.Map;

/** Constants and structures of the socket device (virtio 1.4, Device Types / Socket Device). */
public final class VirtioVsock {
  public static final int VIRTIO_VSOCK_F_STREAM = 0;
  public static final int VIRTIO_VSOCK_F_SEQPACKET = 1;
  public static final int VIRTIO_VSOCK_F_NO_IMPLIED_STREAM = 2;

  /** The host's context id; this one and the smaller ones are no guest's. */
  public static final int VIRTIO_VSOCK_CID_HOST = 2;

  /** Device configuration layout. */
  public static final Struct CONFIG = Struct.named("virtio_vsock_config").le64("guest_cid").size(8);

  private static final Map<Integer, String> FEATURE_NAMES =
      Map.ofEntries(
          Map.entry(VIRTIO_VSOCK_F_STREAM, "VIRTIO_VSOCK_F_STREAM"),
          Map.entry(VIRTIO_VSOCK_F_SEQPACKET, "VIRTIO_VSOCK_F_SEQPACKET"),
          Map.entry(VIRTIO_VSOCK_F_NO_IMPLIED_STREAM, "VIRTIO_VSOCK_F_NO_IMPLIED_STREAM"));

  private VirtioVsock() {}

  /** The specification's name of a feature bit of this device type, or null. */
  public static String featureName(int bit) {
    return FEATURE_NAMES.get(bit);
  }
}
