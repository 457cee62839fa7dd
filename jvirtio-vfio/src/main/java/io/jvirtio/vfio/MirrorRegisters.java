// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vfio;

import io.jvirtio.queue.QueueLayout;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.spec.SplitRing;
import io.jvirtio.transport.RegisterWindow;
import java.io.IOException;

/**
 * What mirrors need of the registers of a function: where a driver puts its queues, as it is in the
 * moment in which it enables one, and that what mirrors cannot do is not offered (virtio 1.4,
 * Common configuration structure layout; Legacy Interfaces: A Note on PCI Device Layout). Control
 * thread only.
 */
final class MirrorRegisters {
  private static final int MODERN_BAR = 4;
  private static final int FEATURE_SELECT = 0;
  private static final int FEATURE = 4;
  private static final int QUEUE_SELECT = 0x16;
  private static final int QUEUE_SIZE = 0x18;
  private static final int QUEUE_ENABLE = 0x1c;
  private static final int QUEUE_DESC = 0x20;
  private static final int QUEUE_DRIVER = 0x28;
  private static final int QUEUE_DEVICE = 0x30;

  private static final int LEGACY_BAR = 0;
  private static final int LEGACY_PFN = 8;
  private static final int LEGACY_SIZE = 12;
  private static final int LEGACY_SELECT = 14;
  private static final int LEGACY_PAGE = 4096;

  private MirrorRegisters() {}

  /** What a read of 4 bytes gives, without VIRTIO_F_IN_ORDER. */
  static long offered(RegisterWindow window, int region, long offset, long value)
      throws IOException {
    boolean high = region == MODERN_BAR && offset == FEATURE && window.read(FEATURE_SELECT, 4) == 1;
    long hidden = 1L << ReservedFeatures.VIRTIO_F_IN_ORDER - 32;
    return high ? value & ~hidden : value;
  }

  /** Looks at a write that is about to be done. */
  static void note(Mirrors mirrors, RegisterWindow window, ClientMessage.RegionWrite write) {
    try {
      if (write.region() == MODERN_BAR && write.offset() == QUEUE_ENABLE) {
        modern(mirrors, window);
      } else if (write.region() == LEGACY_BAR
          && write.offset() == LEGACY_PFN
          && write.data().limit() == 4) {
        legacy(mirrors, window, write.data().getInt(0) & 0xffff_ffffL);
      }
    } catch (IOException unreachable) {
      throw new IllegalStateException("registers of this process", unreachable);
    }
  }

  private static void modern(Mirrors mirrors, RegisterWindow window) throws IOException {
    QueueLayout layout =
        new QueueLayout(
            (int) window.read(QUEUE_SIZE, 2),
            window.read(QUEUE_DESC, 8),
            window.read(QUEUE_DRIVER, 8),
            window.read(QUEUE_DEVICE, 8),
            0);
    mirrors.setLayout((int) window.read(QUEUE_SELECT, 2), layout);
  }

  private static void legacy(Mirrors mirrors, RegisterWindow window, long pfn) throws IOException {
    int size = (int) window.read(LEGACY_SIZE, 2);
    long descriptors = pfn * LEGACY_PAGE;
    QueueLayout layout =
        new QueueLayout(
            size,
            descriptors,
            descriptors + SplitRing.descSize(size),
            descriptors + SplitRing.legacyUsedOffset(size, LEGACY_PAGE),
            0);
    mirrors.setLayout((int) window.read(LEGACY_SELECT, 2), layout);
  }
}
