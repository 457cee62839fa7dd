// SPDX-License-Identifier: Apache-2.0

/** Devices and drivers that meet at memory mapped registers (virtio 1.4, Virtio Over MMIO). */
package io.jvirtio.transport.mmio;
