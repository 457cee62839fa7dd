// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.driver;

import java.lang.foreign.MemorySegment;

/**
 * A region of memory that the device shares with its driver (virtio 1.4, Shared Memory Regions).
 *
 * @param id the region's id, whose meaning the device type gives, 0 to 255
 * @param segment where it is in this process; valid until the transport is closed
 */
public record SharedMemoryRegion(int id, MemorySegment segment) {}
