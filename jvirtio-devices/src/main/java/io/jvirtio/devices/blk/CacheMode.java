// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.devices.blk;

/** When a completed write is stable (virtio 1.4, Block Device / Device Operation). */
public enum CacheMode {
  /** Once a later flush has completed. */
  WRITEBACK,

  /** When it completes. */
  WRITETHROUGH
}
