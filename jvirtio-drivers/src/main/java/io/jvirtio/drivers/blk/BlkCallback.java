// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.drivers.blk;

/** Hears that a request has ended. */
@FunctionalInterface
public interface BlkCallback {
  /**
   * A request has ended, well or not: see {@link BlkIo#isOk}. The request may be used and submitted
   * again from here. On the owner of the queue, without any lock; must not block. What is thrown is
   * logged and hurts nobody else.
   */
  void completed(BlkIo io);
}
