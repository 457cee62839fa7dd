// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.devices.blk;

import io.jvirtio.spec.VirtioBlk;
import java.util.concurrent.atomic.AtomicLongArray;

/**
 * Counts the requests of one queue. The owner alone writes, without an atomic read-modify-write;
 * other threads may see a count a little late.
 */
final class BlkCounters {
  private static final int TYPES = BlkRequestType.values().length;
  private static final int BYTES_READ = TYPES;
  private static final int BYTES_WRITTEN = TYPES + 1;
  private static final int IO_ERRORS = TYPES + 2;
  private static final int UNSUPPORTED = TYPES + 3;
  private static final int COUNT = TYPES + 4;

  private final AtomicLongArray values = new AtomicLongArray(COUNT);

  /** A request has ended. Owner only. */
  void request(BlkRequestType type, long bytes, int status) {
    add(type.ordinal(), 1);
    if (status == VirtioBlk.VIRTIO_BLK_S_OK) {
      if (type == BlkRequestType.IN) {
        add(BYTES_READ, bytes);
      } else if (type == BlkRequestType.OUT) {
        add(BYTES_WRITTEN, bytes);
      }
    } else {
      add(status == VirtioBlk.VIRTIO_BLK_S_IOERR ? IO_ERRORS : UNSUPPORTED, 1);
    }
  }

  private void add(int index, long amount) {
    values.setOpaque(index, values.getPlain(index) + amount);
  }

  /** Adds these counts to a sum. */
  BlkStats plus(BlkStats sum) {
    long[] requests = new long[TYPES];
    for (BlkRequestType type : BlkRequestType.values()) {
      requests[type.ordinal()] = sum.requests(type) + values.getOpaque(type.ordinal());
    }
    return new BlkStats(
        requests,
        sum.bytesRead() + values.getOpaque(BYTES_READ),
        sum.bytesWritten() + values.getOpaque(BYTES_WRITTEN),
        sum.ioErrors() + values.getOpaque(IO_ERRORS),
        sum.unsupported() + values.getOpaque(UNSUPPORTED));
  }
}
