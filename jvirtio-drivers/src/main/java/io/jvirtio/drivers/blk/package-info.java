// SPDX-License-Identifier: Apache-2.0

/**
 * A driver of the block device (virtio 1.4, Device Types / Block Device).
 *
 * <p>{@link io.jvirtio.drivers.blk.BlkDriver} is the disk: calls that wait, and futures. {@link
 * io.jvirtio.drivers.blk.BlkIo} is one request, used again and again without allocation, given to a
 * {@link io.jvirtio.drivers.blk.BlkQueue}.
 */
package io.jvirtio.drivers.blk;
