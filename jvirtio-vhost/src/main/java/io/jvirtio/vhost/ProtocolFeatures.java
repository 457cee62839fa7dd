// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vhost;

import java.util.ArrayList;
import java.util.List;

/** Feature bits of the vhost-user protocol itself ("Protocol features"). */
public final class ProtocolFeatures {
  /** In the virtio feature bits: protocol features can be negotiated. */
  public static final int VHOST_USER_F_PROTOCOL_FEATURES = 30;

  public static final int MQ = 0;
  public static final int LOG_SHMFD = 1;
  public static final int REPLY_ACK = 3;
  public static final int BACKEND_REQ = 5;
  public static final int CONFIG = 9;
  public static final int INFLIGHT_SHMFD = 12;
  public static final int RESET_DEVICE = 13;
  public static final int CONFIGURE_MEM_SLOTS = 15;
  public static final int STATUS = 16;

  private static final String[] NAMES = {
    "MQ",
    "LOG_SHMFD",
    "RARP",
    "REPLY_ACK",
    "MTU",
    "BACKEND_REQ",
    "CROSS_ENDIAN",
    "CRYPTO_SESSION",
    "PAGEFAULT",
    "CONFIG",
    "BACKEND_SEND_FD",
    "HOST_NOTIFIER",
    "INFLIGHT_SHMFD",
    "RESET_DEVICE",
    "INBAND_NOTIFICATIONS",
    "CONFIGURE_MEM_SLOTS",
    "STATUS",
    "XEN_MMAP",
    "SHARED_OBJECT",
    "DEVICE_STATE",
    "GET_VRING_BASE_INFLIGHT",
    "GPA_ADDRESSES",
    "SHMEM"
  };

  private ProtocolFeatures() {}

  /** The mask of the given bits. */
  public static long mask(int... bits) {
    long mask = 0;
    for (int bit : bits) {
      mask |= 1L << bit;
    }
    return mask;
  }

  /** The names of the bits that are set, without their common prefix. */
  public static List<String> names(long features) {
    List<String> names = new ArrayList<>();
    for (int bit = 0; bit < 64; bit++) {
      if ((features >>> bit & 1) != 0) {
        names.add(bit < NAMES.length ? NAMES[bit] : "bit " + bit);
      }
    }
    return names;
  }
}
