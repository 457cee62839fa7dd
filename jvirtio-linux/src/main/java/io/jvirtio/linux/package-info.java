// SPDX-License-Identifier: Apache-2.0

/**
 * Linux, as far as virtio devices and drivers need it: descriptors, mappings, sockets that carry
 * descriptors, an event loop and io_uring, for x86-64 and aarch64.
 *
 * <p>Everything stands on {@code Libc}, which alone makes native calls. What fails throws {@link
 * io.jvirtio.linux.LinuxException}; only the methods that move data answer as the kernel does, with
 * a count or a negated error number, so that one handler serves them and the completions of {@link
 * io.jvirtio.linux.IoUring}.
 */
package io.jvirtio.linux;
