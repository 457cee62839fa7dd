// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.drive;

import io.jvirtio.linux.LoopMode;

/**
 * What a benchmark does.
 *
 * @param pattern which requests
 * @param depth how many of them each thread keeps in flight, at least 1
 * @param queueSize the queue size; more requests than fit wait for room
 * @param blockSize bytes of each, a multiple of 512
 * @param warmupNanos how long before anything counts
 * @param nanos how long what counts takes
 * @param threads how many threads with a queue each
 * @param poll whether threads only poll, so that the device need not notify
 * @param mode how threads wait otherwise
 */
record Workload(
    Pattern pattern,
    int depth,
    int queueSize,
    int blockSize,
    long warmupNanos,
    long nanos,
    int threads,
    boolean poll,
    LoopMode mode) {

  /** Which requests, one after another. */
  enum Pattern {
    /** Reads, each behind the last. */
    READ,
    /** Writes, each behind the last. */
    WRITE,
    /** Reads anywhere. */
    RANDREAD,
    /** Writes anywhere. */
    RANDWRITE;

    boolean writes() {
      return this == WRITE || this == RANDWRITE;
    }

    boolean random() {
      return this == RANDREAD || this == RANDWRITE;
    }
  }
}
