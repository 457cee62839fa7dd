// SPDX-License-Identifier: Apache-2.0

/**
 * Resources of the host behind devices.
 *
 * <p>{@link io.jvirtio.backends.RawFileBackend} serves an image file or a block device: straight
 * between the file and guest memory, by io_uring where the kernel has it, else by worker threads.
 */
package io.jvirtio.backends;
