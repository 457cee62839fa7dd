// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.drivers.blk;

/** What becomes of requests in flight and waiting when the device is lost or breaks. */
public enum OnLoss {
  /** They end at once with a failure; so does every new one until the device was recovered. */
  FAIL,

  /**
   * They are kept, and repeated once the device was recovered; new ones wait with them. They fail
   * when that takes longer than the request timeout.
   */
  RETRY
}
