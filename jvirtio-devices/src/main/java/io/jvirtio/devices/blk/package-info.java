// SPDX-License-Identifier: Apache-2.0

/**
 * The block device (virtio 1.4, Device Types / Block Device).
 *
 * <p>{@link io.jvirtio.devices.blk.BlkDevice} speaks to the driver; a {@link
 * io.jvirtio.devices.blk.BlockBackend} holds the data. To serve storage of your own, implement the
 * back end and its {@link io.jvirtio.devices.blk.BlockChannel}.
 */
package io.jvirtio.devices.blk;
