// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.devices.blk;

/** Sees every request of a block device when it ends, such as to measure latency. */
@FunctionalInterface
public interface RequestObserver {
  /**
   * A request has ended. On the owner of the queue, so on several threads when there are several
   * queues; must neither block nor throw.
   *
   * @param queue the number of the queue
   * @param type what was asked
   * @param bytes of data, of all ranges for a discard, erase or write of zeroes
   * @param status VIRTIO_BLK_S_OK, VIRTIO_BLK_S_IOERR or VIRTIO_BLK_S_UNSUPP
   * @param nanos from taking it out of the queue to putting it back
   */
  void request(int queue, BlkRequestType type, long bytes, int status, long nanos);
}
