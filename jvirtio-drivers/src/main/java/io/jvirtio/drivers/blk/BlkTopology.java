// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.drivers.blk;

/**
 * Where and in which sizes the device likes to be read and written (struct virtio_blk_topology,
 * virtio 1.4, Block Device / Device configuration layout). Advice only.
 *
 * @param physicalBlockSize in bytes, a power of two, at least the block size
 * @param alignmentOffset offset of the first aligned block, in bytes
 * @param minIoSize suggested minimum size of a request, in bytes; 0 for none
 * @param optIoSize suggested maximum size of a request, in bytes; 0 for none
 */
public record BlkTopology(
    long physicalBlockSize, long alignmentOffset, long minIoSize, long optIoSize) {}
