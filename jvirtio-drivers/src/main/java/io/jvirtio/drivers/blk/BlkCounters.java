// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.drivers.blk;

import io.jvirtio.spec.VirtioBlk;
import java.util.concurrent.atomic.AtomicLongArray;

/**
 * Counts the requests of one queue. The owner alone writes, without an atomic read-modify-write;
 * other threads may see a count a little late.
 */
final class BlkCounters {
  private static final int OPERATIONS = BlkOperation.values().length;
  private static final int BYTES_READ = OPERATIONS;
  private static final int BYTES_WRITTEN = OPERATIONS + 1;
  private static final int IO_ERRORS = OPERATIONS + 2;
  private static final int UNSUPPORTED = OPERATIONS + 3;
  private static final int FAILED = OPERATIONS + 4;
  private static final int COUNT = OPERATIONS + 5;

  private final AtomicLongArray values = new AtomicLongArray(COUNT);

  /** A request has ended. */
  void ended(BlkOperation operation, long bytes, int status) {
    add(operation.ordinal(), 1);
    if (status == VirtioBlk.VIRTIO_BLK_S_OK) {
      if (operation == BlkOperation.READ) {
        add(BYTES_READ, bytes);
      } else if (operation == BlkOperation.WRITE) {
        add(BYTES_WRITTEN, bytes);
      }
    } else if (status == BlkIo.STATUS_NONE) {
      add(FAILED, 1);
    } else {
      add(status == VirtioBlk.VIRTIO_BLK_S_IOERR ? IO_ERRORS : UNSUPPORTED, 1);
    }
  }

  private void add(int index, long amount) {
    values.setOpaque(index, values.getPlain(index) + amount);
  }

  /** The counts now. */
  BlkStats stats() {
    long[] requests = new long[OPERATIONS];
    for (int i = 0; i < OPERATIONS; i++) {
      requests[i] = values.getOpaque(i);
    }
    return new BlkStats(
        requests,
        values.getOpaque(BYTES_READ),
        values.getOpaque(BYTES_WRITTEN),
        values.getOpaque(IO_ERRORS),
        values.getOpaque(UNSUPPORTED),
        values.getOpaque(FAILED));
  }
}
