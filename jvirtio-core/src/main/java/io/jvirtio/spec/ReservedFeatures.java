// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.spec;

import java.util.Map;

/**
 * Feature bits that belong to no device type (virtio 1.4, Reserved Feature Bits), and the
 * dependencies between them.
 */
public final class ReservedFeatures {
  /** Legacy interface: notify when the available ring runs empty. */
  public static final int VIRTIO_F_NOTIFY_ON_EMPTY = 24;

  /** Legacy interface: no assumption about framing. */
  public static final int VIRTIO_F_ANY_LAYOUT = 27;

  /** Descriptors with VIRTQ_DESC_F_INDIRECT. */
  public static final int VIRTIO_F_INDIRECT_DESC = 28;

  /** The used_event and avail_event fields. */
  public static final int VIRTIO_F_EVENT_IDX = 29;

  /** Compliance with version 1 of the specification: the modern interface. */
  public static final int VIRTIO_F_VERSION_1 = 32;

  /** The device's access to memory is limited or translated by the platform. */
  public static final int VIRTIO_F_ACCESS_PLATFORM = 33;

  /** The packed virtqueue layout. */
  public static final int VIRTIO_F_RING_PACKED = 34;

  /** Buffers are used in the order in which they were made available. */
  public static final int VIRTIO_F_IN_ORDER = 35;

  /** Memory accesses are ordered as the platform orders them. */
  public static final int VIRTIO_F_ORDER_PLATFORM = 36;

  /** Single root I/O virtualisation. */
  public static final int VIRTIO_F_SR_IOV = 37;

  /** Extra data in available buffer notifications. */
  public static final int VIRTIO_F_NOTIFICATION_DATA = 38;

  /** The device chooses the data of available buffer notifications. */
  public static final int VIRTIO_F_NOTIF_CONFIG_DATA = 39;

  /** One queue can be reset alone. */
  public static final int VIRTIO_F_RING_RESET = 40;

  /** One or more administration virtqueues. */
  public static final int VIRTIO_F_ADMIN_VQ = 41;

  /** The driver can suspend the device. */
  public static final int VIRTIO_F_SUSPEND = 43;

  private static final Map<Integer, String> NAMES =
      Map.ofEntries(
          Map.entry(VIRTIO_F_NOTIFY_ON_EMPTY, "VIRTIO_F_NOTIFY_ON_EMPTY"),
          Map.entry(VIRTIO_F_ANY_LAYOUT, "VIRTIO_F_ANY_LAYOUT"),
          Map.entry(VIRTIO_F_INDIRECT_DESC, "VIRTIO_F_INDIRECT_DESC"),
          Map.entry(VIRTIO_F_EVENT_IDX, "VIRTIO_F_EVENT_IDX"),
          Map.entry(VIRTIO_F_VERSION_1, "VIRTIO_F_VERSION_1"),
          Map.entry(VIRTIO_F_ACCESS_PLATFORM, "VIRTIO_F_ACCESS_PLATFORM"),
          Map.entry(VIRTIO_F_RING_PACKED, "VIRTIO_F_RING_PACKED"),
          Map.entry(VIRTIO_F_IN_ORDER, "VIRTIO_F_IN_ORDER"),
          Map.entry(VIRTIO_F_ORDER_PLATFORM, "VIRTIO_F_ORDER_PLATFORM"),
          Map.entry(VIRTIO_F_SR_IOV, "VIRTIO_F_SR_IOV"),
          Map.entry(VIRTIO_F_NOTIFICATION_DATA, "VIRTIO_F_NOTIFICATION_DATA"),
          Map.entry(VIRTIO_F_NOTIF_CONFIG_DATA, "VIRTIO_F_NOTIF_CONFIG_DATA"),
          Map.entry(VIRTIO_F_RING_RESET, "VIRTIO_F_RING_RESET"),
          Map.entry(VIRTIO_F_ADMIN_VQ, "VIRTIO_F_ADMIN_VQ"),
          Map.entry(VIRTIO_F_SUSPEND, "VIRTIO_F_SUSPEND"));

  private ReservedFeatures() {}

  /** The specification's name of a reserved bit, or null when the bit is not reserved. */
  public static String nameOf(int bit) {
    return NAMES.get(bit);
  }
}
